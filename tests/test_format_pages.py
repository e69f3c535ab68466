"""The page of each format: its config, run on its fixture, gives what the page says (docs/formats)."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distill.config import Config
from distill.config_file import build_config
from distill.files import read_records
from distill.formats import FORMATS, reader_of
from distill.outcome import Outcome
from distill.plan import build_plan
from distill.readers import Limits
from distill.schemas.evidence import EvidenceRecord
from distill.stages.collect import run
from tests.format_cases import DATA

PROJECT = Path(__file__).parent.parent
PAGES = {page.stem: page for page in sorted((PROJECT / "docs" / "formats").glob("*.md"))}


def collect(config: Config, project: Path) -> list[Outcome]:
    """Return what collect makes of every log of a config."""
    logs = [
        (log, read_records(project / log.file.path, reader_of(log.source).name, Limits(members=log.source.members or "*.json")))
        for log in build_plan(project, config).logs
    ]
    return list(run(logs, config))


def config_of(name: str, **source: Any) -> Config:
    """Return the config of a page, with settings changed in its first source."""
    table = tomllib.loads(re.findall(r"```toml\n(.*?)```", PAGES[name].read_text(), re.DOTALL)[0])
    table["sources"][0] |= source
    return build_config(table, path="page", environ={})


def evidence(outcomes: list[Outcome]) -> list[EvidenceRecord]:
    """Return the evidence among outcomes."""
    return [row.value for outcome in outcomes for row in outcome.rows if isinstance(row.value, EvidenceRecord)]


def counts(outcomes: list[Outcome]) -> Counter[str]:
    """Return how often each outcome and reason was given to a record."""
    return Counter(outcome.reason or outcome.kind for outcome in outcomes if outcome.unit is not None)


def test_every_format_has_a_page() -> None:
    """No format stands without its page, and no page without its format."""
    assert set(PAGES) == {entry.name for entry in FORMATS}


EXPECTED: dict[str, dict[str, int]] = {
    "inspect_ai": {"accepted": 9},
    "langfuse": {"accepted": 3},
    "openai_chat": {"accepted": 6, "mistyped_field": 2, "missing_field": 1},
    "otel": {"accepted": 5, "same_run": 5, "mistyped_field": 1, "missing_field": 1},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_page_runs_on_its_fixture(name: str) -> None:
    """The config of a page reads its fixture: so many runs, the others each with a reason (SPEC 6)."""
    outcomes = collect(config_of(name), PROJECT)
    records = evidence(outcomes)

    assert counts(outcomes) == EXPECTED[name]
    assert len({record.id for record in records}) == EXPECTED[name]["accepted"]
    assert all(record.run_id for record in records)


@pytest.mark.parametrize("name", ["outcomes", "scrum_reviews"])
def test_native_page_runs_on_the_sample(name: str) -> None:
    """The config of a native log's page reads the sample."""
    assert counts(collect(config_of(name), PROJECT))["accepted"] > 100


def test_samples_of_an_archive_name_their_member() -> None:
    """A run of an archive is known by its member, one of a document by nothing but its place in the list (SPEC 3)."""
    records = evidence(collect(config_of("inspect_ai"), PROJECT))

    assert [record.provenance.member for record in records if record.source == "eval_archives"] == [
        "samples/sum-1_epoch_1.json", "samples/sum-1_epoch_2.json", "samples/sum-2_epoch_1.json",
    ]  # fmt: skip


@pytest.mark.skipif(not (DATA / "langfuse-traces").is_dir(), reason="the real traces are not beside this checkout (../shared/data)")
def test_real_traces_by_config_alone() -> None:
    """Twenty files of real traces give twenty rows of nineteen runs; that two rows are one trace is told by their run id (SPEC 4)."""
    outcomes = collect(config_of("langfuse", root=str(DATA / "langfuse-traces"), glob="**/*.trace.json"), PROJECT)
    records = evidence(outcomes)

    assert counts(outcomes) == {"accepted": 20}
    assert (len({record.id for record in records}), len({record.run_id for record in records})) == (20, 19)
    assert {outcome.warning for outcome in outcomes} - {None} == {"judge_of_nothing: langfuse"}
