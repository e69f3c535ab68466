"""Patterns that match the files of a group and no other file of the folder."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["find_globs", "name_source"]

_GENERIC = frozenset({"root", "data", "logs", "log", "runs", "run", "output", "outputs", "results", "src", "json", "jsonl"})


def find_globs(folder: Path, files: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Return globs that together match exactly `files`, each with those it matches; one where that can be said."""
    if len(files) == 1:
        return [(glob.escape(files[0]), files)]
    for pattern in _candidates(files):
        if _matched(folder, pattern) == set(files):
            return [(pattern, files)]
    folders = sorted({str(PurePosixPath(name).parent) for name in files})
    if len(folders) == 1:
        return [(glob.escape(name), (name,)) for name in files]
    apart = [tuple(name for name in files if str(PurePosixPath(name).parent) == below) for below in folders]
    return [found for some in apart for found in find_globs(folder, some)]


def _matched(folder: Path, pattern: str) -> set[str]:
    """Return the files a glob matches, as the plan finds them."""
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 -- as the plan does
    return {name.replace(os.sep, "/") for name in found if (folder / name).is_file()}


def _candidates(files: tuple[str, ...]) -> Iterator[str]:
    """Yield patterns from the plainest to the narrowest."""
    base = _common_folder(files)
    names = [PurePosixPath(name).name for name in files]
    start, tail = _common_start(names), _common_start([name[::-1] for name in names])[::-1]
    suffixes = PurePosixPath(f"x{tail}").suffixes
    suffix = "".join(suffixes[-2:] if suffixes[-1:] in ([".gz"], [".zst"]) else suffixes[-1:])
    tails = list(dict.fromkeys([suffix, re.sub(r"^[^._-]*", "", tail), ".jsonl*", ".json*", ""]))
    middle = _common_part(names)
    for below in ("", "**/"):
        for end in tails:
            yield f"{base}{below}*{glob.escape(end)}" if not end.endswith("*") else f"{base}{below}*{end}"
    for below in ("", "**/"):
        for end in (suffix, ""):
            if start:
                yield f"{base}{below}{glob.escape(start)}*{glob.escape(end)}"
            if middle:
                yield f"{base}{below}*{glob.escape(middle)}*{glob.escape(end)}"


def _common_folder(files: tuple[str, ...]) -> str:
    """Return the deepest folder that holds all files, escaped, with its slash; empty for the folder itself."""
    parents = [PurePosixPath(name).parent.as_posix() for name in files]
    common = os.path.commonpath(parents)
    return f"{glob.escape(common)}/" if common not in {"", "."} else ""


def _common_start(names: list[str]) -> str:
    """Return what all names start with."""
    low, high = min(names), max(names)
    return low[: next((i for i, letter in enumerate(low) if letter != high[i : i + 1]), len(low))]


def _common_part(names: list[str]) -> str:
    """Return the longest text of three or more characters that is in all names, without the suffix; of equal ones the first."""
    shortest = min((PurePosixPath(name).stem for name in names), key=lambda name: (len(name), name))
    for length in range(len(shortest), 2, -1):
        for at in range(len(shortest) - length + 1):
            part = shortest[at : at + length]
            if all(part in name for name in names):
                return part
    return ""


def name_source(folder: Path, files: tuple[str, ...], format_name: str | None, taken: set[str]) -> str:
    """Return a source's name that is not taken yet, and take it: of its format, its file or its folder."""
    parts = [part for part in PurePosixPath(_common_folder(files).replace("[[]", "[")).parts if part.lower() not in _GENERIC]
    own = PurePosixPath(files[0]).name.split(".")[0] if len(files) == 1 else parts[-1] if parts else folder.resolve().name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", format_name or own).strip(".-") or "logs"
    number, chosen = 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name}-{number}"
    taken.add(chosen)
    return chosen
