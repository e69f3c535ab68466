"""The table of stages: what each is called, reads, writes and depends on. Tasks, help and tests derive from it.

A stage is a generator from records to outcomes in a module of its own, imported when it runs; it opens no file
and counts nothing. Reading, counting, writing and receipts are in `distill.runner`.
"""

from collections.abc import Callable
from typing import NamedTuple

from distill.plan import DECISIONS, RESOLUTION, FileRef, Plan

__all__ = ["COMPLETIONS", "INDEX", "PLAYBOOKS", "PREFERENCE", "QUARANTINE", "RAG", "SFT", "STAGES", "Stage", "stage_named"]

Files = tuple[str, ...]


class Stage(NamedTuple):
    """One line of the table."""

    name: str
    """Receipt name."""
    task: str
    """doit task."""
    module: str
    """Where its generator `run` is."""
    doc: str
    """What it does, for `doit list`."""
    unit: str
    """What its books count."""
    needs: Files
    """Stages directly above."""
    inputs: Callable[[Plan], tuple[FileRef, ...]]
    """What it reads."""
    outputs: Callable[[Plan], Files]
    """What it writes."""
    settings: Files
    """Settings it reads; they make its config_hash."""
    units: str
    """Module whose `run_units` does over units what its generator does."""
    quarantine: str | None = None
    """Its quarantine file."""
    dataset: str | None = None
    """First file of an export."""
    by_file: bool = False
    """Whether its receipt counts per partition."""


def _raw(plan: Plan) -> tuple[FileRef, ...]:
    return (*(log.file for log in plan.logs), *plan.sides)


def _refs(*names: str) -> tuple[FileRef, ...]:
    return tuple(FileRef(name, name) for name in names)


def _corpus(plan: Plan) -> tuple[FileRef, ...]:
    return _refs(*plan.evidence, *plan.scored, RESOLUTION)


PLAYBOOKS = "data/playbooks/playbooks.jsonl"
RAG = "exports/rag/playbooks.jsonl"
SFT = "exports/sft/instruction_response.jsonl"
COMPLETIONS = "exports/sft/prompt_completion.jsonl"
PREFERENCE = "exports/preference/chosen_rejected.jsonl"
INDEX = "exports/index/playbooks.sqlite"
QUARANTINE = "exports/quarantine"

STAGES: tuple[Stage, ...] = (
    Stage(
        "collect", "collect", "distill.stages.collect", "read the raw logs into evidence", "record", (), _raw,
        lambda plan: (*plan.evidence, f"{QUARANTINE}/collect.jsonl"),
        ("sources", "human_reviewers", "infrastructure_patterns", "max_line_bytes", "max_skipped", "recorded_at"),
        quarantine=f"{QUARANTINE}/collect.jsonl", by_file=True, units="distill.units.collect",
    ),
    Stage(
        "score", "score", "distill.stages.score", "score every run and resolve what only the corpus shows", "run", ("collect",),
        lambda plan: _refs(*plan.evidence, *((DECISIONS,) if plan.decisions else ())),
        lambda plan: (*plan.scored, RESOLUTION), ("judge_confidence", "scopes", "positional"), by_file=True,
        units="distill.units.score",
    ),
    Stage(
        "extract-playbooks", "extract_playbooks", "distill.stages.extract_playbooks", "distil one playbook per task", "run",
        ("collect", "score"), _corpus, lambda plan: (PLAYBOOKS,), ("playbooks", "scopes", "cumulative"),
        units="distill.units.extract_playbooks",
    ),
    Stage(
        "export-rag", "export_rag", "distill.stages.export_rag", "export documents for retrieval", "candidate",
        ("collect", "score", "extract-playbooks"), lambda plan: (*_corpus(plan), *_refs(PLAYBOOKS)),
        lambda plan: (RAG, f"{QUARANTINE}/rag.jsonl"), ("scopes", "min_rows.rag"), quarantine=f"{QUARANTINE}/rag.jsonl", dataset=RAG,
        units="distill.units.export_rag",
    ),
    Stage(
        "export-sft", "export_sft", "distill.stages.export_sft", "export rows for supervised fine-tuning", "run", ("collect", "score"),
        _corpus, lambda plan: (SFT, COMPLETIONS, f"{QUARANTINE}/sft.jsonl"), ("sft", "scopes", "min_rows.sft"),
        quarantine=f"{QUARANTINE}/sft.jsonl", dataset=SFT, units="distill.units.export_sft",
    ),
    Stage(
        "export-preference", "export_preference", "distill.stages.export_preference", "export pairs of a better and a worse answer", "run",
        ("collect", "score"), _corpus, lambda plan: (PREFERENCE, f"{QUARANTINE}/preference.jsonl"),
        ("sft.include", "preference", "scopes", "min_rows.preference"), quarantine=f"{QUARANTINE}/preference.jsonl", dataset=PREFERENCE,
        units="distill.units.export_preference",
    ),
    Stage(
        "index", "index", "distill.stages.index", "build the full-text index over the retrieval rows", "row", ("export-rag",),
        lambda plan: _refs(RAG), lambda plan: (INDEX,), (), units="distill.units.index",
    ),
)  # fmt: skip
"""In the order of the pipeline."""


def stage_named(name: str) -> Stage:
    """Return the stage of that receipt name."""
    return next(stage for stage in STAGES if stage.name == name)
