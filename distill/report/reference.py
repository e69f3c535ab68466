"""docs/reference.md: stages, formats, settings, rules, reasons and checks, each from the table in the code.

`python -m distill.report.reference > docs/reference.md` writes it; a test compares it.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from distill import config, config_specs
from distill.canonical import dump_sorted
from distill.firewall import CHECKS
from distill.formats import FORMATS
from distill.readers import READERS
from distill.reasons import ACTIONS, REASONS
from distill.rules import RULES
from distill.scores import SCORES
from distill.stages import STAGES

__all__ = ["render_reference"]

_SECTIONS: dict[str, Any] = {"": config.Config, "sft.": config.Sft, "preference.": config.Preference, "playbooks.": config.Playbooks,
             "min_rows.": config.MinRows, "drift.": config.Drift, "sources[].": config.Source,
             "sources[].explode.": config_specs.ExplodeSpec, "sources[].failed_turns.": config_specs.FailedTurns,
             "sources[].fields.X.": config_specs.FieldSpec, "sources[].lookups[].": config_specs.LookupSpec,
             "sources[].signals[].": config_specs.SignalSpec, "sources[].signals[].checks.": config_specs.CheckSpec,
             "sources[].verdicts[].": config_specs.VerdictSpec,
             "sources[].signals[], sources[].verdicts[]: ": config_specs.Meaning}  # fmt: skip
_BUILT = frozenset({
    "fields", "tags", "signals", "explode", "lookups", "verdicts", "failed_turns", "meaning", "aspect_path", "by_field", "pass_range",
    "fail_range",
})  # fmt: skip
"""Fields that a person does not write as they stand: they have rows of their own, or are made of other keys."""
_MORE = {
    "pass_": " Or a number: pass from there on, with a number as `fail`; or `{ min, max }`. Of a judge also called `accept_when`.",
    "fail": " Or a number: fail up to there; or `{ min, max }`. Of a judge also called `reject_when`.",
    "aspect": " Or `{ path }`, where it stands in the record.", "by": " Or `{ field }`, the evidence field that is the key.",
}  # fmt: skip
"""What else a key can be, behind its own words; `by` of verdicts and `aspect` of signals alone."""
_WITH_MORE = {
    (config_specs.Meaning, "pass_"), (config_specs.Meaning, "fail"), (config_specs.SignalSpec, "aspect"), (config_specs.VerdictSpec, "by"),
}  # fmt: skip
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


def _field_docs(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a class of settings."""
    tree = ast.parse(Path(str(sys.modules[kind.__module__].__file__)).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    docs: dict[str, str] = {}
    for field, doc in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(doc, ast.Expr):
            docs[field.target.id] = ast.literal_eval(doc.value)
    return docs


def _settings() -> Iterator[Sequence[str]]:
    for prefix, kind in _SECTIONS.items():
        docs, defaults = _field_docs(kind), kind._field_defaults
        for name in kind._fields:
            if (kind is config.Config and name in _GROUPS) or name in _BUILT or (kind is config_specs.VerdictSpec and name == "name"):
                continue
            more = _MORE.get(name, "") if (kind, name) in _WITH_MORE else ""
            yield f"`{prefix}{name.rstrip('_')}`", _default(defaults.get(name, ...)), docs[name] + more


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
        "## Readers", _table(("reader", "what a record is"), ((f"`{entry.name}`", entry.doc) for entry in READERS)),
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
