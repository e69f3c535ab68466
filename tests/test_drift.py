"""This run against the prior one (SPEC 6, DriftReport): a run with itself is ok, and each flag appears once."""

from typing import Any

import msgspec
import numpy as np
import pytest

from distill.baseline import read_corpus
from distill.config import Drift
from distill.drift import FIRST_RUN, PriorRun, ThisRun, build_drift
from distill.jsonl import decode_document, encode_document
from distill.schemas.drift_report import DriftReport
from distill.schemas.stage_receipt import FileSet, StageReceipt, Stats, Validation
from distill.stages import STAGES
from tests.simulation import SHARES, Run, build_run, draw_file, shifted
from tests.test_summary import all_receipts, file, files, receipt, summarise

BIG = Stats(unit="run", considered=200, accepted=150, quarantined=50, reasons={"no_signal": 50})


def prior_of(found: list[StageReceipt], **fields: Any) -> PriorRun:
    """Return a prior run of these receipts."""
    known = frozenset(f"{one.stage}:{slug}" for one in found for slug in one.stats.reasons)
    values: dict[str, Any] = {
        "run_id": "r0", "summary": summarise(found), "receipts": {one.stage: one for one in found}, "problems": [], "known_reasons": known,
    }  # fmt: skip
    return PriorRun(**(values | fields))


def report(now: list[StageReceipt], before: list[StageReceipt] | None = None, **fields: Any) -> DriftReport:
    """Return the report on receipts, by default against a prior run of the plain ones."""
    prior = prior_of(all_receipts() if before is None else before, **fields)
    found = build_drift(ThisRun(summarise(now), now), prior, Drift())
    assert decode_document(encode_document(found), DriftReport, place="drift.json") == found
    return found


def only(found: DriftReport) -> list[str]:
    """Return the flags beside the one that outputs differ."""
    return [flag for flag in found.flags if flag != "run_hash differs from prior run"]


def test_first_run_is_the_baseline() -> None:
    """Without a prior run the report is ok and says so."""
    now = all_receipts()

    found = build_drift(ThisRun(summarise(now), now), None, Drift())

    assert (found.severity, found.flags, found.prior_run_id, found.stages) == ("ok", [FIRST_RUN], None, [])
    assert found.thresholds["warn_pct"] == 20


def test_run_against_itself_is_ok_without_flags() -> None:
    """Same inputs, code, settings, tools and outputs: ok, no flags, every hash matches and every delta is 0."""
    found = report(all_receipts())

    assert (found.severity, found.flags, found.prior_run_id) == ("ok", [], "r0")
    assert [stage.stage for stage in found.stages] == [stage.name for stage in STAGES]
    for stage in found.stages:
        values = msgspec.to_builtins(stage)
        assert all(value == 0 for key, value in values.items() if key.startswith("delta_") or key == "pct_change_out")
        assert all(value for key, value in values.items() if key.endswith("_match"))
        assert not stage.deterministic_violation
        assert stage.notes == []


def test_other_outputs_of_other_inputs_are_told_and_ok() -> None:
    """Outputs that differ because inputs do are a flag that is ok by itself."""
    new = receipt("score", inputs=files(file("src/score", content="new")), outputs=files(file("data/score", content="new")))

    found = report(all_receipts(score=new))

    assert (found.severity, found.flags) == ("ok", ["run_hash differs from prior run"])


def test_deterministic_violation_is_an_alert() -> None:
    """Other outputs of the same inputs, code, settings and tools are an alert; with other tools they are a note."""
    outputs = files(file("data/score", content="new"))
    alarmed = report(all_receipts(score=receipt("score", outputs=outputs)))
    noted = report(all_receipts(score=receipt("score", outputs=outputs, tool_versions={"python": "4"})))

    assert only(alarmed) == ["score: deterministic violation: same inputs, code, settings and tools, other outputs"]
    assert alarmed.severity == "alert"
    assert [stage.stage for stage in alarmed.stages if stage.deterministic_violation] == ["score"]
    assert (noted.severity, only(noted)) == ("ok", [])
    assert "other tool versions than in the prior run" in noted.stages[1].notes


def written(records: int, stats: Stats | None = None) -> StageReceipt:
    """Return score's receipt with another input and this many records written."""
    fields: dict[str, Any] = {} if stats is None else {"stats": stats}
    return receipt(
        "score", inputs=files(file("src/score", content=f"n{records}")), outputs=files(file("data/score", records, str(records))), **fields
    )


@pytest.mark.parametrize(("before", "now", "flags"), [
    (1000, 1210, ["score: +21.0 % records written, beyond 20 %"]), (1000, 790, ["score: -21.0 % records written, beyond 20 %"]),
    (1000, 1200, []), (1000, 800, []), (0, 5, []), (100, 121, []),
])  # fmt: skip
def test_volume_beyond_the_threshold_warns(before: int, now: int, flags: list[str]) -> None:
    """A change beyond 20 % that chance does not explain warns; the question is in the report with its figures either way."""
    found = report(all_receipts(score=written(now)), all_receipts(score=written(before)))

    assert (only(found), found.severity) == (flags, "warn" if flags else "ok")
    (asked,) = [test for test in found.tests if test.question == "did the volume move"]
    assert (asked.where, asked.n, asked.verdict) == ("score", now, found.severity)
    assert asked.statistic == (None if not before else pytest.approx((now - before) / before * 100))


def test_small_sample_is_noted() -> None:
    """Under 100 records a stage whose outputs moved is noted as an insufficient sample, never passed over in silence."""
    small, large = (report(all_receipts(score=written(3, stats))).stages[1] for stats in (None, BIG))

    assert any(note.startswith("insufficient_sample: 3 ") for note in small.notes)
    assert large.notes == []


@pytest.mark.parametrize(("count", "flags"), [(5, ["score: reason 'escalated' was never seen before, 5 times"]), (4, [])])
def test_new_reason_warns_from_five_records(count: int, flags: list[str]) -> None:
    """A reason never seen before warns from 5 records on and stands in the tests below."""
    stats = Stats(unit="run", considered=200, accepted=200 - count, quarantined=count, reasons={"escalated": count})

    found = report(all_receipts(score=receipt("score", stats=stats)))

    assert (found.flags, found.severity) == (flags, "warn" if flags else "ok")
    (asked,) = [test for test in found.tests if test.question == "is the reason new"]
    assert (asked.statistic, asked.n, asked.direction) == (count, 200, "escalated appeared")


def test_vanished_source_and_partition_are_named() -> None:
    """A partition that vanished warns, and its source where nothing of it is left."""
    before = receipt("collect", inputs=files(file("one/a", content="1"), file("two/a", content="2"), file("two/b")))
    now = receipt("collect", inputs=files(file("two/b"), file("two/c", content="2")))

    found = report(all_receipts(collect=now), all_receipts(collect=before))

    assert (found.flags, found.severity) == (
        ["source vanished: one", "partition vanished: one/a", "partition vanished: two/a; two/c holds the same bytes"], "warn",
    )  # fmt: skip


def test_dataset_that_fell_to_nothing_is_an_alert() -> None:
    """An export that had rows and has none is an alert; one that had none before is not."""
    empty = receipt("export-rag", inputs=FileSet(), outputs=files(file("exports/rag/playbooks.jsonl", 0, "")))

    fell, stayed = report(all_receipts(export_rag=empty)), report(all_receipts(export_rag=empty), all_receipts(export_rag=empty))

    assert (fell.severity, [flag for flag in fell.flags if "dataset" in flag]) == ("alert", ["dataset rag fell to nothing, from 3 rows"])
    assert stayed.flags == []


def test_firewall_is_an_alert_and_other_failures_are_not() -> None:
    """A stage that failed by the firewall is an alert, with and without a prior run; one that raised is not."""

    def failed(error: str) -> list[StageReceipt]:
        return all_receipts(
            export_sft=receipt("export-sft", decision="failed", outputs=FileSet(), validation=Validation(passed=False, errors=[error]))
        )

    leaked, raised = failed("firewall: exports/sft/x.jsonl:1: leak"), failed("disk is full")
    first = build_drift(ThisRun(summarise(leaked), leaked), None, Drift())

    assert (first.severity, first.flags) == ("alert", ["export-sft: the firewall spoke", FIRST_RUN])
    assert (report(leaked).severity, report(leaked).flags) == ("alert", ["export-sft: the firewall spoke"])
    assert (report(raised).severity, report(raised).flags) == ("ok", [])
    assert "export-sft" not in [stage.stage for stage in report(raised).stages]


def test_the_worst_comes_first() -> None:
    """Alerts stand before warnings, and those before what is only told."""
    before = all_receipts(collect=receipt("collect", inputs=files(file("one/a"))))
    empty = receipt("export-rag", inputs=FileSet(), outputs=files(file("exports/rag/playbooks.jsonl", 0, "")))

    found = report(all_receipts(collect=receipt("collect", inputs=files()), export_rag=empty), before)

    assert [flag.split(":")[0] for flag in found.flags] == [
        "dataset rag fell to nothing, from 3 rows", "source vanished", "partition vanished", "export-rag", "run_hash differs from prior run",
    ]  # fmt: skip


def test_damaged_prior_run_warns() -> None:
    """What cannot be read of the prior run is told; without its summary no stage is compared."""
    found = report(all_receipts(), summary=None, problems=["r0/summary.json: damaged"])
    blind = report(all_receipts(), receipts={})

    assert (found.severity, found.flags, found.stages) == ("warn", ["r0/summary.json: damaged"], [])
    assert (blind.severity, blind.flags) == ("ok", [])
    unknown = "the prior run's receipt cannot be read, so its tool versions are not known"
    assert all(stage.notes == [unknown] for stage in blind.stages)
    assert any(test.direction.startswith("not asked") for test in blind.tests)


def test_run_without_collect_names_no_vanished_partition() -> None:
    """A stage that read nothing says nothing about partitions."""
    blocked = receipt(
        "collect", decision="failed", inputs=FileSet(), outputs=FileSet(), stats=Stats(unit="record"), validation=Validation(passed=False)
    )

    assert report(all_receipts(collect=blocked)).flags == []


def test_no_partition_left_is_named_and_a_collect_that_failed_names_none() -> None:
    """A collect that finished without a file names every partition as vanished; one that failed says nothing about those unread."""
    before = all_receipts(collect=receipt("collect", inputs=files(file("one/a"), file("one/b"))))
    finished = receipt("collect", inputs=files())
    failed = receipt("collect", decision="failed", inputs=files(file("one/a")), outputs=FileSet(), validation=Validation(passed=False))

    assert only(report(all_receipts(collect=finished), before)) == [
        "source vanished: one", "partition vanished: one/a", "partition vanished: one/b",
    ]  # fmt: skip
    assert only(report(all_receipts(collect=failed), before)) == []


def two_days() -> tuple[Run, Run]:
    """Return a run over 1,000 records and one with a day of 50 % rejections beside them."""
    rng = np.random.default_rng(1)
    old = {"one/a": draw_file(rng, "1", 1000, SHARES)}
    return build_run("r0", old), build_run("r1", old | {"one/b": draw_file(rng, "1", 1000, shifted(0.5))})


def test_moved_shares_are_flags_and_every_question_is_a_test() -> None:
    """An alarm on shares is a flag with its severity; the questions without one are in the tests beside it."""
    old, new = two_days()

    found = build_drift(ThisRun(new.summary, new.receipts), prior_of(old.receipts), Drift())

    shares = [test for test in found.tests if test.question.startswith("did the shares")]
    assert found.severity == "alert"
    assert [test.verdict for test in shares] == ["ok", "alert", "alert"]
    assert sum("moved from" in flag for flag in found.flags) == 2
    assert {test.n for test in shares} <= {1000, new.summary.stages[1].records_in - old.summary.stages[1].records_in}


def test_a_prior_run_without_shares_gives_way_to_the_last_good_one() -> None:
    """Where the prior run's receipts cannot be read the newest good run that can be is compared with instead, by its own id."""
    old, new = two_days()
    good = [read_corpus("lost", {}, {}), read_corpus("r0", {one.stage: one for one in old.receipts}, {})]

    found = build_drift(ThisRun(new.summary, new.receipts), prior_of(old.receipts, run_id="r9", receipts={}, good=good), Drift())

    assert found.severity == "alert"
    assert {tuple(test.baseline_run_ids) for test in found.tests if test.question.startswith("did the shares")} == {("r0",)}
