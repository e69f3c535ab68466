"""The text of `distill.toml`: a source for each group of logs, what is sure as settings, what is not as comments (SPEC 8)."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from distill.formats import find_format
from distill.onboarding.globs import find_globs, name_source
from distill.onboarding.paths import cut, render_value
from distill.onboarding.propose import Mapping, Setting, Verdict, propose_mapping
from distill.onboarding.sniff import Group, Survey

__all__ = ["TEMPLATE", "Proposed", "propose_sources", "render_config"]

_HEAD = """# Settings of distill: which logs there are and what their fields mean. `distill preview NAME` shows what a source gives.
# A line that starts with "# unsure:" is a proposal: take the mark away to use it.
"""
_MIN_ROWS = """min_rows = { sft = 0 }  # an agent's own claim accepts nothing; once a signal says who decided, take this line away
"""
_EMPTY = """[[sources]]
name = "outcomes"
root = "."
glob = "logs/**/*.jsonl*"
format = "outcomes"
optional = true                        # take this line away when the logs are there
"""
TEMPLATE = f"""{_HEAD}# `distill init FOLDER` proposes sources for the logs in a folder.
{_MIN_ROWS}
{_EMPTY}
# Anything else: say where the fields stand.
# [[sources]]
# name = "agent"
# root = "../logs"
# glob = "**/*.jsonl"
# reader = "jsonl"
# created_at = "absent"
# run_id = "position"
# [sources.fields]
# task_id = {{ path = "task.id" }}
# instruction = {{ path = "prompt" }}
# response = {{ path = "answer" }}
# [[sources.signals]]
# kind = "test"                        # who decided: test, human, judge or self
# path = "passed"
# pass = [true]
# fail = [false]
"""
"""What `distill init` writes where it is given no folder."""
_MODEL = re.compile(
    r"gpt-?\d(?:\.\d)?o?(?:-(?:turbo|mini|nano))?|text-davinci-\d+|claude(?:-\d[\d.]*)*-(?:opus|sonnet|haiku|instant)(?:-\d+)*|"
    r"llama-?\d(?:\.\d)?(?:-\d+b)?|gemini-\d(?:\.\d)?(?:-(?:pro|flash))?|(?:mis|mix)tral(?:-\w+)*|qwen-?\d(?:\.\d)?(?:-\d+b)?|"
    r"deepseek-(?:v\d|r\d|chat|coder)", re.IGNORECASE,
)  # fmt: skip
"""Names of models as files are called after them."""


class Proposed(NamedTuple):
    """One source as it is proposed."""

    name: str
    """Its name."""
    text: str
    """Its tables."""
    group: Group
    """Its files and what a sample of them holds."""
    files: tuple[str, ...]
    """Those of the group it matches."""
    is_mapped: bool
    """False where no field was recognised, so that all of it is a comment."""


def propose_sources(folder: Path, root: str, survey: Survey, *, ignore: frozenset[str] = frozenset()) -> list[Proposed]:
    """Return the sources of a folder; `root` is the folder as the config names it, `ignore` formats that did not read their records."""
    proposed: list[Proposed] = []
    taken: set[str] = set()
    for group in survey.groups:
        known = group.shape.format if group.shape.format not in ignore else None
        for pattern, files in find_globs(folder, group.files):
            name = name_source(folder, files, known, taken)
            lines = [f'name = "{name}"', f"root = {render_value(root)}", f"glob = {render_value(pattern)}", *_shape(group, known)]
            mapping = None if known else _mapping(group)
            if mapping is not None and not any(setting.sure for setting in mapping.fields):
                text = _hint(lines, group)
            else:
                text = "\n".join(["[[sources]]", *lines, *(_rows(mapping) if mapping is not None else _unread(group, known))])
            proposed.append(Proposed(name, text + "\n", group, files, is_mapped=text.startswith("[[")))
    return proposed


def render_config(proposed: Sequence[Proposed]) -> str:
    """Return the whole file; where no source can be read, one that may match nothing keeps it loadable."""
    mapped = [one for one in proposed if one.is_mapped]
    head = _HEAD + (_MIN_ROWS if not mapped or any(one.text.count("\n[sources.fields]") for one in mapped) else "")
    return head + "".join(f"\n{one.text}" for one in proposed) + ("" if mapped else f"\n{_EMPTY}")


def _shape(group: Group, known: str | None) -> list[str]:
    shape = group.shape
    lines = [f'format = "{known}"'] if known else []
    entry = find_format(known) if known else None
    lines += [f'reader = "{shape.reader}"'] if entry is None or entry.reader != shape.reader else []
    lines += [f"members = {render_value(shape.members)}"] if shape.members and shape.members != "*.json" else []
    lines += [f"explode = {{ list = {render_value(shape.explode)} }}  # each of them is a run"] if shape.explode and not known else []
    return lines


def _mapping(group: Group) -> Mapping:
    base = ("item",) if group.shape.explode else ()
    return _with_model(propose_mapping(group.catalog, base=base), group.files)


def _rows(mapping: Mapping) -> list[str]:
    """Return the lines of a mapping."""
    lines = [_line(setting) for setting in mapping.source]
    lines += _table("[sources.fields]", mapping.fields)
    lines += _table("[sources.tags]", mapping.tags)
    for verdict in mapping.verdicts:
        lines += _signal(verdict)
    if not any(verdict.is_named for verdict in mapping.verdicts):
        lines += ["", "# no verdict was recognised: every run needs a person's review until a signal, or a file of verdicts, is named"]
    return lines


def _unread(group: Group, known: str | None) -> list[str]:
    """Return comments on the verdicts that stand in records of a format that has none."""
    if known != "openai_chat":
        return []
    told = [
        f"# unsure: {note.removeprefix('# ')}"
        for verdict in propose_mapping(group.catalog).verdicts
        if verdict.is_named
        for note in verdict.notes[:1]
    ]
    return [*told, "# openai_chat reads no verdict: put these into a second file, [[sources.verdicts]], or map the records"] if told else []


def _hint(lines: list[str], group: Group) -> str:
    """Return a source of which nothing was recognised, as comments with the fields met."""
    met = [f"#   {found.path}: {cut(render_value(found.example))}" for found in group.catalog.plain()[:30]]
    what = "# unsure: no field was recognised; say where instruction and response stand. Fields met:"
    return "\n".join([what, *met, "# [[sources]]", *(f"# {line}" for line in lines), "# [sources.fields]"])


def _with_model(mapping: Mapping, files: Iterable[str]) -> Mapping:
    """Propose the model out of file names, where the records name none."""
    if any(setting.key == "model" and setting.sure for setting in mapping.fields):
        return mapping
    models = sorted({match[0] for name in files for match in _MODEL.finditer(name)})
    if not models:
        return mapping
    pattern = "|".join(model.replace(".", r"\.") for model in sorted(models, key=lambda model: (-len(model), model)))
    value = f'{{ group = "file", pattern = {render_value(pattern)} }}'
    model = Setting("model", value, "from file names, with the file_pattern above", sure=False)
    file_pattern = Setting("file_pattern", "'(?P<file>.+)'", "for a model that only file names tell", sure=False)
    return mapping._replace(source=(*mapping.source, file_pattern), fields=(*mapping.fields, model))


def _line(setting: Setting) -> str:
    note = f"  # {setting.note}" if setting.note else ""
    return f"{'' if setting.sure else '# unsure: '}{setting.key} = {setting.value}{note}"


def _table(title: str, settings: Iterable[Setting]) -> list[str]:
    rows = [_line(setting) for setting in settings]
    return [title, *rows] if rows else []


def _signal(verdict: Verdict) -> list[str]:
    if not verdict.settings:
        return ["", *verdict.notes]
    settings = [("kind", '"self"'), ("path", render_value(verdict.path)), *verdict.settings]
    lines = ["[[sources.signals]]", *(f"{key} = {value}" for key, value in settings)]
    return ["", *verdict.notes, *(lines if verdict.sure else [f"# {line}" for line in lines])]
