"""The compiled reading of exports against the reading in Python: a row that the one passes, the other passes too (SPEC 7, law 6)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.compiled import find_compiled
from distill.errors import SchemaError
from distill.hashing import hash_bytes, row_id
from distill.units import guard
from distill.units.cutting import Unit
from distill.units.parts import PartWriter
from tests.test_compiled import MANY

GUARD: Any = find_compiled("guard")
pytestmark = pytest.mark.skipif(GUARD is None, reason="the compiled loops were not built: no compiler, or DISTILL_COMPILED=0")

ENCODE = msgspec.json.Encoder().encode
SFT, TURNS = "exports/sft/instruction_response.jsonl", "exports/sft/prompt_completion.jsonl"
PAIRS, RAG = "exports/preference/chosen_rejected.jsonl", "exports/rag/playbooks.jsonl"
IDS = [hash_bytes(bytes([number]))[:32] for number in range(3)]
PLACES = [f"s/a;b.jsonl:{number}@0 blake3:{hash_bytes(bytes([number]))}" for number in range(3)]
BLANK = ["", " ", "\u00a0\u2003", "\t\n", "\x1c"]
ANSWERS = ["yes", "yes ", "y\u00e9s", "no", "a b", "a  b", '"a"', *BLANK]


def say(role: str, content: str) -> dict[str, str]:
    """Return a message."""
    return {"role": role, "content": content}


def talks(last: str) -> st.SearchStrategy[list[dict[str, str]]]:
    """Return talks, most of them good, that end in one of the role `last`."""
    whole = [[say("user", "q")], [say("system", "s"), say("user", "q")], [say("user", "q"), say("assistant", "a"), say("user", "q")]]
    odd = st.lists(st.builds(say, st.sampled_from(["user", "assistant", "system"]), st.sampled_from(ANSWERS)), max_size=3)
    end = st.builds(say, st.just(last), st.sampled_from(ANSWERS)).map(lambda one: [one])
    return st.one_of(st.sampled_from(whole), odd).flatmap(lambda start: end.map(lambda answer: start + answer))


ANSWER: st.SearchStrategy[list[dict[str, str]]] = st.one_of(
    st.builds(say, st.just("assistant"), st.sampled_from(ANSWERS)).map(lambda one: [one]), talks("assistant"), st.just([])
)
RUNS = st.sampled_from(["run-0", "run-1", ""])
NUMBER = st.integers(0, 2)
WHOLE = st.builds(
    lambda messages, i, j, run: {
        "messages": messages, "instruction": "q", "response": "a", "id": IDS[i], "source_run_id": run, "quality_score": "accepted",
        "provenance": PLACES[j],
    },
    talks("assistant"), NUMBER, NUMBER, RUNS,
)  # fmt: skip
TURN = st.builds(
    lambda prompt, completion, i, j, run: {
        "prompt": prompt, "completion": completion, "id": f"{IDS[i]}#0001", "source_run_id": run, "quality_score": "accepted",
        "provenance": PLACES[j],
    },
    talks("user"), ANSWER, NUMBER, NUMBER, RUNS,
)  # fmt: skip
PAIR = st.builds(
    lambda prompt, one, other, i, j, run, rival, places: {
        "prompt": prompt, "chosen": one, "rejected": other, "id": row_id(IDS[i], IDS[j]), "chosen_run_id": run, "rejected_run_id": rival,
        "chosen_model": "", "rejected_model": "m", "reason": "tests_failed", "provenance": places,
    },
    talks("user"), ANSWER, ANSWER, NUMBER, NUMBER, RUNS, RUNS,
    st.sampled_from([f"{PLACES[0]}; {PLACES[1]}", f"{PLACES[1]}; {PLACES[0]}", PLACES[0], "; ".join(PLACES), "x; y"]),
)  # fmt: skip
DOCUMENT = st.builds(
    lambda i, j, runs, failed, text, kind, tags, score: {
        "id": IDS[i], "kind": kind, "title": "t", "content": "c", "tags": tags, "source_run_ids": runs, "failed_run_ids": failed,
        "success_score": score, "embedding_text": text, "provenance": PLACES[j],
    },
    NUMBER, NUMBER, st.lists(RUNS, max_size=2), st.one_of(st.just([]), st.lists(RUNS, max_size=2)),
    st.sampled_from(["q\n\na", "q\n\nb", "ä", ' a  "b" \\', "a\x1bb", ""]), st.sampled_from(["run", "run", "playbook", "pitfalls", "other"]),
    st.sampled_from([["a=b"], [], ["group=g"], ["group=s:g", "model=m"], ['group=ä"', "group=b"], ["a=b", "group=g"]]),
    st.sampled_from([0.5, 0.0, 1.0, 2 / 3, 1.5, -0.5, 1e-7, 1, 0]),
)  # fmt: skip
DAMAGE = st.one_of(st.none(), st.tuples(st.integers(0, 700), st.binary(max_size=2), st.integers(0, 2)))


def read(path: str, data: bytes, compiled: bool) -> tuple[Any, ...]:
    """Return what is found in an export, first and last id, and what is claimed; or that it is no export."""
    part, found = PartWriter(), []  # type: ignore[var-annotated]
    reading = guard.Reading(path, "", Unit(0, len(data), 0, ""), False, [], [])
    permits = [guard.claim_line(IDS[i], PLACES[i], f"run-{i}", use) for i in (0, 1) for use in ("imitate", "avoid")]
    permits += [guard.claim_line(IDS[i], PLACES[i], f"run-{i}", guard.embedded(ENCODE("q\n\na"))) for i in (0, 1)]
    witnesses = [(row_id(IDS[i], IDS[j]) + IDS[i] + IDS[j]).encode() for i, j in ((0, 1), (1, 0))] + [b"short"]
    blocks = {"permits": sorted(permits), "pairs": sorted(witnesses)}

    def lines_in(ranges: Any) -> set[bytes]:
        return set(blocks["pairs" if path == PAIRS else "permits"])

    held = {name: [b"".join(line + b"\n" for line in lines)] for name, lines in blocks.items()}
    look = guard._Look(part, reading, found)
    patch = pytest.MonkeyPatch()
    patch.setattr(guard, "_lines_in", lines_in)
    try:
        if not compiled:
            first = last = ""
            for number, line in enumerate(data.split(b"\n")[:-1], 1):
                last = look(number, line, last)
                first = first or last
        else:
            kinds = {SFT: lambda: GUARD.TrainedReader(held["permits"], True), TURNS: lambda: GUARD.TrainedReader(held["permits"], False),
                     PAIRS: lambda: GUARD.PairReader(held["pairs"], part.keyed["claims"]), RAG: lambda: GUARD.DocumentReader(held["permits"], part.keyed["documents"], guard.key_of_tag, RAG)}  # fmt: skip
            first, last = kinds[path]().take(data, look)
    except SchemaError as err:
        return ("no export", str(err))
    finally:
        patch.undo()
    claims = part.keyed[{PAIRS: "claims", RAG: "documents"}.get(path, "none")].finish()[0]
    return sorted(found), first, last, sorted(set(claims.split(b"\n")))


@pytest.mark.parametrize(("path", "rows"), [(SFT, WHOLE), (TURNS, TURN), (PAIRS, PAIR), (RAG, DOCUMENT)])
def test_both_readings_find_the_same(path: str, rows: st.SearchStrategy[dict[str, Any]]) -> None:
    """Rows good and bad, in order and out of it, damaged anywhere: the same findings, ids and claims, or both say that it is no export."""

    @MANY
    @given(st.lists(rows, max_size=4), st.booleans(), DAMAGE)
    def check(drawn: list[dict[str, Any]], ordered: bool, damage: tuple[int, bytes, int] | None) -> None:
        lines = [ENCODE(row) for row in (sorted(drawn, key=lambda row: str(row["id"])) if ordered else drawn)]
        data = b"".join(line + b"\n" for line in lines)
        if damage is not None and data:
            place, put, cut = damage
            data = data[: place % len(data)] + put + data[place % len(data) + cut :]
            data = data.rstrip(b"\n") + b"\n"
        assert read(path, data, True) == read(path, data, False)

    check()


def test_a_good_export_is_read_without_python() -> None:
    """Rows as the exports write them are looked at by the compiled loop alone."""
    rows = [
        {"messages": [say("user", "q"), say("assistant", "a")], "instruction": "q", "response": "a", "id": IDS[i], "source_run_id": f"run-{i}",
         "quality_score": "accepted", "provenance": PLACES[i]} for i in sorted((0, 1), key=IDS.__getitem__)
    ]  # fmt: skip
    permits = b"".join(line + b"\n" for line in sorted(guard.claim_line(IDS[i], PLACES[i], f"run-{i}", "imitate") for i in (0, 1)))

    assert GUARD.TrainedReader([permits], True).take(b"".join(ENCODE(row) + b"\n" for row in rows), None) == tuple(sorted(IDS[:2]))


def test_good_documents_are_read_without_python() -> None:
    """Documents of runs and of groups are looked at by the compiled loop alone; what a group embeds is written down as Python does."""
    place, text = PLACES[0], "q\n\na"
    common = {"title": "t", "content": "c", "failed_run_ids": [], "provenance": place}
    rows = [
        {"id": IDS[0], "kind": "run", "tags": [], "source_run_ids": ["run-0"], "success_score": 0.85, "embedding_text": text},
        {"id": "f" * 32, "kind": "playbook", "tags": ["group=s:g"], "source_run_ids": ["r"], "success_score": 2 / 3, "embedding_text": ' a  "b"'},
    ]  # fmt: skip
    order = ("id", "kind", "title", "content", "tags", "source_run_ids", "failed_run_ids", "success_score", "embedding_text", "provenance")
    data = b"".join(ENCODE({name: {**common, **row}[name] for name in order}) + b"\n" for row in rows)
    permit, told = guard.claim_line(IDS[0], place, "run-0", guard.embedded(ENCODE(text))), find_compiled("parts").Lines()

    assert GUARD.DocumentReader([permit + b"\n"], told, guard.key_of_tag, RAG).take(data, None) == (IDS[0], "f" * 32)
    assert told.finish()[0] == guard.group_key("s:g") + b"C" + ENCODE(['a "b"', f"{RAG}: row {'f' * 32}"]) + b"\n"
