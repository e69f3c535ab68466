"""`distill init`: makes a folder a project, with sources proposed for the logs of another (SPEC 8)."""

from pathlib import Path
from typing import NamedTuple

from distill.config import Config, Source
from distill.errors import ConfigError
from distill.onboarding.compose import TEMPLATE, propose_sources, render_config
from distill.onboarding.preview import read_sample
from distill.onboarding.sniff import Survey, find_files, survey_files
from distill.plan import OWN, FileRef, RawLog
from distill.targets import write_whole

__all__ = ["Start", "find_unread", "init_project"]

DODO = "from distill.build.tasks import DOIT_CONFIG, task_pipeline  # noqa: F401\n"
DOIT_CFG = "[COMMAND]\nrun = distill.build.command:Run\n"
_PLUGIN = '[tool.doit.plugins.command]\nrun = "distill.build.command:Run"\n'
_COMMAND = "distill.build.command:Run"


class Start(NamedTuple):
    """What `distill init` did."""

    text: str
    """What a person is told."""
    written: tuple[str, ...]
    """Files written; none where one of them, or a pyproject.toml, stands already."""


def init_project(project: Path, folder: str | None) -> Start:
    """Write `distill.toml`, `dodo.py` and `doit.cfg`, or say what to add where one of them stands already.

    Raises:
        ConfigError: the folder is none, belongs to the build, or holds no log.
    """
    told: list[str] = []
    settings = TEMPLATE
    if folder is not None:
        settings, told = _propose(project, folder)
    standing = [name for name in ("pyproject.toml", "doit.cfg", "dodo.py", "distill.toml") if (project / name).exists()]
    if standing:
        return Start("".join(f"{line}\n" for line in told) + _advise(project, settings, standing), ())
    files = {"distill.toml": settings, "dodo.py": DODO, "doit.cfg": DOIT_CFG}
    for name, text in files.items():
        write_whole(project / name, text.encode())
    told += [f"wrote {name}" for name in files]
    told += ["read distill.toml, look at `distill preview NAME` for each source, then run `doit`"]
    return Start("".join(f"{line}\n" for line in told), tuple(files))


def _propose(project: Path, folder: str) -> tuple[str, list[str]]:
    """Return the settings for the logs in a folder, and what was found."""
    place = project / folder
    if not place.is_dir():
        raise ConfigError([f"{folder}: is no folder; give the folder that holds the logs"])
    for name in OWN:
        if place.resolve().is_relative_to((project / name).resolve()):
            raise ConfigError([f"{folder}: is or lies below {name}/, where the build writes and deletes; move the logs elsewhere"])
    survey = survey_files(place, find_files(place, is_project=place.resolve() == project.resolve()))
    if not survey.groups:
        left = [f"{name}: {why}" for name, why in survey.left[:10]]
        raise ConfigError([f"{folder}: no log was recognised; looked for .json, .jsonl, .ndjson, .zip and .eval, also .gz and .zst", *left])
    ignore = find_unread(project, place, folder, survey)
    told = [f"{len(group.files)} files: {_describe(group.shape.format, group.shape.reader, ignore)}" for group in survey.groups]
    told += [f"left out {name}: {why}" for name, why in survey.left[:20]]
    told += [f"left out {len(survey.left) - 20} more files"] if len(survey.left) > 20 else []
    return render_config(propose_sources(place, folder, survey, ignore=ignore)), told


def _describe(known: str | None, reader: str, ignore: frozenset[str]) -> str:
    return f"format {known}" if known and known not in ignore else f"reader {reader}, a mapping is proposed"


def find_unread(project: Path, place: Path, root: str, survey: Survey) -> frozenset[str]:
    """Return the built-in formats that do not read half of the records that look like theirs."""
    unread = set()
    for group in survey.groups:
        known = group.shape.format
        if known is None:
            continue
        source = Source(name=known, glob="*", root=root, format=known, reader=group.shape.reader, members=group.shape.members or "*.json")
        logs = tuple(RawLog(FileRef(str(place / name), name), source, (), name) for name in group.files)
        sample = read_sample(project, Config(sources=(source,)), logs, records=50)
        if 2 * len(sample.skipped) > sample.met:
            unread.add(known)
    return frozenset(unread)


def _advise(project: Path, settings: str, standing: list[str]) -> str:
    """Return the lines to add, file by file."""
    blocks = [f"{', '.join(standing)}: already here, so nothing was changed; what a project needs:\n"]
    if "distill.toml" in standing:
        blocks.append(_block("add to distill.toml what is missing there", settings))
    else:
        blocks.append(_block("write distill.toml", settings))
    blocks.append(_block("dodo.py needs" if "dodo.py" in standing else "write dodo.py", DODO))
    named = any(_COMMAND in (project / name).read_text(errors="replace") for name in ("pyproject.toml", "doit.cfg") if name in standing)
    if named:
        blocks.append("doit's run command is named already\n")
    elif "pyproject.toml" in standing:
        blocks.append(_block("add to pyproject.toml", _PLUGIN))
    else:
        blocks.append(_block("add to doit.cfg" if "doit.cfg" in standing else "write doit.cfg", DOIT_CFG))
    return "\n".join(blocks)


def _block(title: str, text: str) -> str:
    return f"{title}:\n\n{''.join(f'    {line}'.rstrip() + chr(10) for line in text.splitlines())}"
