"""One run from its receipts: books, datasets, verdict, run hash (SPEC 6)."""

from collections.abc import Sequence

import msgspec

from distill.hashing import aggregate_hash, hash_bytes
from distill.jsonl import encode_document
from distill.schemas.run_summary import Datasets, RunSummary, StageSummary
from distill.schemas.stage_receipt import StageReceipt
from distill.stages import STAGES, stage_named

__all__ = ["build_summary", "stable_hash"]

_TOTALS = ("records_in", "records_out", "accepted", "rejected", "quarantined", "skipped", "filtered")


def stable_hash(receipt: StageReceipt) -> str:
    """Return the hash of a receipt without the fields in which two receipts of the same work may differ (SPEC 1)."""
    neutral = {
        "run_id": "",
        "timestamp": "",
        "duration_ms": 0,
        "git_commit": None,
        "git_dirty": None,
        "decision_reason": "",
        "carried_from": None,
    }
    decision = "executed" if receipt.decision == "up_to_date" else receipt.decision
    return hash_bytes(encode_document(msgspec.structs.replace(receipt, **neutral, decision=decision)))


def _stage_summary(receipt: StageReceipt, output_hash: str | None) -> StageSummary:
    stats = receipt.stats
    return StageSummary(
        stage=receipt.stage, decision=receipt.decision, carried_from=receipt.carried_from, records_in=receipt.inputs.record_count,
        records_out=receipt.outputs.record_count, accepted=stats.accepted, rejected=stats.rejected, quarantined=stats.quarantined,
        skipped=stats.skipped, filtered=stats.filtered, passed=receipt.validation.passed, input_hash=receipt.inputs.hash,
        output_hash=output_hash, code_hash=receipt.code_hash, config_hash=receipt.config_hash, duration_ms=receipt.duration_ms,
        receipt_blake3=hash_bytes(encode_document(receipt)),
    )  # fmt: skip


def _dataset(receipts: Sequence[StageReceipt], name: str) -> int | None:
    dataset = stage_named(f"export-{name}").dataset
    files = [file for receipt in receipts if receipt.stage == f"export-{name}" for file in receipt.outputs.files]
    return next((file.record_count for file in files if file.path == dataset), None)


def build_summary(  # noqa: PLR0913 -- each is one fact of the document
    receipts: Sequence[StageReceipt], *, index_hash: str | None, run_id: str, started_at: str, ended_at: str, git_commit: str | None,
    prior_run_id: str | None, prior_summary_hash: str | None,
) -> RunSummary:  # fmt: skip
    """Return the summary of receipts in the order of the pipeline.

    `index_hash` is the logical content of the index, which stands for its bytes.
    """
    stages = [
        _stage_summary(receipt, index_hash if receipt.stage == "index" and receipt.outputs.hash else receipt.outputs.hash)
        for receipt in receipts
    ]
    full = len(receipts) == len(STAGES)
    whole = full and all(stage.output_hash for stage in stages)
    leaves = [(stage.stage, (stage.output_hash or "").removeprefix("blake3:")) for stage in stages]
    return RunSummary(
        run_id=run_id, scope="full" if full else "partial", started_at=started_at, ended_at=ended_at, git_commit=git_commit, stages=stages,
        datasets=Datasets(**{name: _dataset(receipts, name) for name in ("rag", "sft", "preference")}),
        overall_passed=all(stage.passed for stage in stages), run_hash=aggregate_hash(leaves) if whole else None,
        prior_run_id=prior_run_id, prior_summary_hash=prior_summary_hash,
        **{f"total_{name}": sum(getattr(stage, name) for stage in stages) for name in _TOTALS},
    )  # fmt: skip
