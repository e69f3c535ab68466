"""The logs of a folder, grouped: files of one shape whose records have the same keys are one source (issue 5.3).

Reads the first records of files and nothing else. Law: the groups depend on paths and contents alone, never on the order in which the
file system names them.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from distill.onboarding.paths import Catalog
from distill.onboarding.propose import propose_mapping
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
    """Return the files below a folder that may be logs, sorted; not hidden ones, nor what distill writes into a project.

    A link to a folder stands for itself: what lies behind it counts where it lies, and a link may lead in a circle.
    """
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        named = [name for name in files if not name.startswith(".") and is_candidate(name) and (Path(place) / name).is_file()]
        found += [name if below == "." else f"{below}/{name}" for name in (*links, *named)]
    own = (lambda name: name.startswith(_OWN)) if is_project else (lambda name: False)
    return sorted(name for name in found if name.isprintable() and not own(name))


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
        if (folder / name).is_dir():
            left.append((name, "a link to a folder; what is there counts where it lies"))
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
    sampled = [(shape, tuple(files), _sample(folder, shape, files)) for shape, files in groups]
    return Survey(tuple(Group(_settle(shape, catalog), files, catalog) for shape, files, catalog in sampled), tuple(left))


def _settle(shape: Shape, catalog: Catalog) -> Shape:
    """Return a shape without the format that reads no verdict, where a mapping can read both the conversation and a verdict."""
    if shape.format != "openai_chat":
        return shape
    mapping = propose_mapping(catalog)
    talks = any(setting.key == "messages" and setting.sure for setting in mapping.fields)
    return shape._replace(format=None) if talks and any(verdict.is_named for verdict in mapping.verdicts) else shape


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
