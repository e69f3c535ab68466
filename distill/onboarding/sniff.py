"""The logs of a folder, grouped: files of one shape whose records have the same keys are one source (issue 5.3).

Reads the first records of files and nothing else. Law: the groups depend on paths and contents alone, never on the order in which the
file system names them.
"""

import glob
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from distill.onboarding.paths import Catalog
from distill.onboarding.shapes import Shape, decode_some, is_candidate, tell_shape
from distill.readers import Limits

__all__ = ["Group", "Survey", "find_files", "survey_files"]

_RECORDS = 1_000
"""Records of a group that are looked at."""
_PER_FOLDER = 20
"""Files of one folder and suffix that are looked at before the others are taken for their like."""
_OWN = ("data/", "exports/", "reports/", "reviews/")
"""Folders of a project that hold no logs."""


class Group(NamedTuple):
    """Files that are one source."""

    shape: Shape
    """What they are."""
    files: tuple[str, ...]
    """Paths below the folder, sorted."""
    catalog: Catalog
    """What a sample of their records holds; of an exploded record, under `item`."""


class Survey(NamedTuple):
    """What a folder holds."""

    groups: tuple[Group, ...]
    """In the order of their first files."""
    left: tuple[tuple[str, str], ...]
    """Files that are no logs, and why."""


def find_files(folder: Path, *, is_project: bool) -> list[str]:
    """Return the files below a folder that may be logs, sorted; not hidden ones, nor what distill writes into a project."""
    found = [name.replace(os.sep, "/") for name in glob.glob("**/*", root_dir=folder, recursive=True)]  # noqa: PTH207 -- as the plan does
    own = (lambda name: name.startswith(_OWN)) if is_project else (lambda name: False)
    named = [name for name in found if is_candidate(name) and not own(name) and name.isprintable()]
    return sorted(name for name in named if (folder / name).is_file())


def survey_files(folder: Path, names: Iterable[str]) -> Survey:
    """Look into files and group them."""
    root = folder.resolve()
    groups: list[tuple[Shape, list[str]]] = []
    left: list[tuple[str, str]] = []
    seen: dict[tuple[str, str], list[int]] = {}
    for name in names:
        if not (folder / name).resolve().is_relative_to(root):
            left.append((name, "lies outside the folder"))
            continue
        kind = (str(PurePosixPath(name).parent), "".join(PurePosixPath(name).suffixes[-2:]))
        alike = seen.setdefault(kind, [])
        if len(alike) >= _PER_FOLDER and len(set(alike)) == 1 and alike[0] >= 0:
            groups[alike[0]][1].append(name)
            continue
        shape = tell_shape(folder / name, limits=Limits())
        if isinstance(shape, str):
            left.append((name, shape))
            alike.append(-1)
            continue
        place = _place_of(groups, shape)
        groups[place][1].append(name)
        alike.append(place)
    return Survey(tuple(Group(shape, tuple(files), _sample(folder, shape, files)) for shape, files in groups), tuple(left))


def _place_of(groups: list[tuple[Shape, list[str]]], shape: Shape) -> int:
    """Return the group a file belongs to, a new one where none fits; a group's keys are those of all its files."""
    for place, (other, files) in enumerate(groups):
        same = other._replace(keys=shape.keys) == shape
        common = len(other.keys & shape.keys) / max(1, min(len(other.keys), len(shape.keys)))
        if same and (shape.format is not None or common >= 0.6):
            groups[place] = (other._replace(keys=other.keys | shape.keys), files)
            return place
    groups.append((shape, []))
    return len(groups) - 1


def _sample(folder: Path, shape: Shape, files: list[str]) -> Catalog:
    """Return what the first records of evenly chosen files hold."""
    catalog = Catalog()
    limits = Limits(members=shape.members or "*.json")
    chosen = files if len(files) <= _RECORDS else [files[i * len(files) // _RECORDS] for i in range(_RECORDS)]
    for i, name in enumerate(chosen):
        left = -(-(_RECORDS - catalog.records) // (len(chosen) - i))
        if left <= 0:
            break
        for record in decode_some(folder / name, shape.reader, limits, limit=left):
            items = record.get(shape.explode, []) if shape.explode else [record]
            for item in items[:left]:
                catalog.add({"item": item} if shape.explode else record)
    return catalog
