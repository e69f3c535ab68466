"""index over units: rows and their words are written side by side, then ranges of the rows are read back side by side."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from distill.engine import Task
from distill.hashing import MerkleTree
from distill.jsonl import decode_document
from distill.plan import TEMPORARY
from distill.stages import INDEX, RAG, index
from distill.stages.index import Checked, Document, Texts, check_counts, check_range
from distill.units.cutting import Unit
from distill.units.jobs import Context, read_unit
from distill.units.outputs import Outputs
from distill.units.workshop import Workshop

__all__ = ["check_unit", "find_words", "run_units", "write_rows"]

_ROWS: Callable[[bytes], list[Document]] = msgspec.json.Decoder(Document).decode_lines
_TEXTS: Callable[[bytes], list[Texts]] = msgspec.json.Decoder(Texts).decode_lines


def run_units(shop: Workshop, outputs: Outputs) -> Callable[[], list[str]]:
    """Write the index; return what reads it back and says what is wrong."""
    work, ref = shop.work, shop.stage.inputs(shop.work.plan)[0]
    units = list(shop.cut(ref))
    file, words = outputs.file(INDEX), shop.folder / f"words{TEMPORARY}{os.getpid()}"
    path, source = file.leave(), str(work.project / ref.path)
    tasks = [
        Task(f"{__name__}:{name}", (str(target), source, units), f"{what} {RAG}")
        for name, target, what in (("write_rows", path, "rows of"), ("find_words", words, "words of"))
    ]
    count, total = 0, units[-1].end
    for one in shop.engine.map(tasks):
        count = one
        work.progress(total // 2)
    index.take_words(path, words)
    words.unlink()
    file.take_whole(count)
    shop.books.add("accepted", None, times=count)
    shop.count_input(ref, count)
    return lambda: _check(shop, path, units)


def write_rows(context: Context, payload: tuple[str, str, list[Unit]]) -> int:
    """Write the rows of an index; return how many there are."""
    return _write(index.IndexWriter, _ROWS, Document, payload)


def find_words(context: Context, payload: tuple[str, str, list[Unit]]) -> int:
    """Find the words of all rows; return how many there are."""
    return _write(index.WordsWriter, _TEXTS, Texts, payload)


def _write(kind: Any, decode: Callable[[bytes], list[Any]], row: Any, payload: tuple[str, str, list[Unit]]) -> int:
    target, source, units = payload
    Path(target).unlink(missing_ok=True)  # of a worker that died
    writer, count = kind(Path(target)), 0
    for unit in units:
        rows = _decode(source, unit, decode, row)
        writer.add(rows)
        count += len(rows)
    writer.close()
    return count


def _decode(path: str, unit: Unit, decode: Callable[[bytes], list[Any]], row: Any) -> list[Any]:
    data = read_unit(path, unit, RAG)
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # said with its place
        lines = enumerate(data.split(b"\n")[:-1], unit.lines + 1)
        return [decode_document(line, row, place=f"{RAG}:{number}") for number, line in lines]


def _check(shop: Workshop, written: Path, units: list[Unit]) -> list[str]:
    """Read the index back; where it is as it should be, the hash over its rows is known too."""
    path, tree, before, met, found = str(shop.work.project / RAG), MerkleTree(), "", 0, list[str]()

    def tasks() -> Iterator[Task]:
        for unit in units:
            yield Task("distill.units.index:check_unit", (str(written), path, unit), f"{RAG}, bytes {unit.start:,} to {unit.end:,}")

    for one in shop.engine.map(tasks()):
        found += one.found
        if one.rows and one.first <= before:
            found.append(f"{INDEX}:{met + 1}: [order] id {one.first!r} does not come after {before!r}")
        met, before = met + one.rows, one.last or before
        for node, level in one.nodes:
            tree.add(node, level)
    found = found or check_counts(written, met)
    shop.work.rows_hash = tree.root()
    return found


def check_unit(context: Context, payload: tuple[str, str, Unit]) -> Checked:
    """Hold a range of the index against the retrieval rows of a unit."""
    written, path, unit = payload
    return check_range(Path(written), _decode(path, unit, _ROWS, Document), unit.lines + 1)
