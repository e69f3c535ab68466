"""docs/reference.md: stages, formats, settings, rules, reasons and checks, each from the table in the code.

`python -m distill.report.reference > docs/reference.md` writes it; a test compares it.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from distill import config
from distill.canonical import dump_sorted
from distill.firewall import CHECKS
from distill.formats import FORMATS
from distill.reasons import ACTIONS, REASONS
from distill.rules import RULES
from distill.scores import SCORES
from distill.stages import STAGES

__all__ = ["render_reference"]

_SECTIONS: dict[str, Any] = {"": config.Config, "sft.": config.Sft, "preference.": config.Preference, "playbooks.": config.Playbooks,
             "min_rows.": config.MinRows, "drift.": config.Drift, "sources[].": config.Source,
             "sources[].fields.X.": config.FieldSpec, "sources[].signals[].": config.SignalSpec}  # fmt: skip
_OVERRIDES = (
    "Each threshold of `drift` is overridden by `DISTILL_DRIFT_<KEY>` in the environment, and `recorded_at` is set by "
    "`distill run-all --recorded-at` or `DISTILL_RECORDED_AT`."
)
_RULES_NOTE = (
    "In the order they apply; the first that fires decides, the others that fired are listed behind it. "
    "Those marked last are asked only where no other fired, and only the first of them speaks."
)
_GROUPS = frozenset({"sources", "sft", "preference", "playbooks", "min_rows", "drift", "path", "recorded_at"})


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def _field_docs(name: str) -> dict[str, str]:
    """Return the docstring below each field of a class of `distill.config`."""
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    docs: dict[str, str] = {}
    for field, doc in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(doc, ast.Expr):
            docs[field.target.id] = ast.literal_eval(doc.value)
    return docs


def _settings() -> Iterator[Sequence[str]]:
    for prefix, kind in _SECTIONS.items():
        docs, defaults = _field_docs(kind.__name__), kind._field_defaults
        for name in kind._fields:
            if (kind is config.Config and name in _GROUPS) or name in {"threshold", "fields", "tags", "signals"}:
                continue
            yield f"`{prefix}{name.rstrip('_')}`", _default(defaults.get(name, ...)), docs[name]


def _default(value: Any) -> str:
    if value is ...:
        return "required"
    return "none" if value is None or value == () else f"`{dump_sorted(value)}`"


def render_reference() -> str:
    """Return the page."""
    parts = [
        "# Reference", "Written from the tables in the code by `python -m distill.report.reference > docs/reference.md`.",
        "## Stages", _table(
            ("receipt", "doit task", "what it does", "counts", "settings it reads"),
            ((stage.name, f"`{stage.task}`", stage.doc, stage.unit, ", ".join(stage.settings)) for stage in STAGES)),
        "## Log formats", _table(("format", "what such a log is"), ((f"`{entry.name}`", entry.doc) for entry in FORMATS)),
        "## Settings and their defaults", _table(("setting", "default", "meaning"), _settings()),
        _OVERRIDES,
        "## Scoring rules", _RULES_NOTE,
        _table(("reason", "category", "score", ""), (
            (f"`{rule.slug}`", rule.category, f"{SCORES[rule.slug]:g}", "last" if rule.last else "") for rule in RULES)),
        "## Reasons", _table(("reason", "meaning", "action"), ((f"`{r.slug}`", r.meaning, r.action) for r in REASONS)),
        "## Actions", _table(("action", "what to do"), ((name, text) for name, text in ACTIONS.items())),
        "## Firewall checks", _table(("check", "rows it looks at"), (
            (f"`{check.name}`", ", ".join(kind.__name__ for kind in check.kinds)) for check in CHECKS)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
