"""index over units: one process gives the rows to SQLite in their order, then ranges of them are read back side by side."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from distill.engine import Task
from distill.hashing import MerkleTree
from distill.jsonl import decode_document
from distill.stages import INDEX, RAG
from distill.stages.index import Checked, Document, check_counts, check_range
from distill.units.cutting import Unit
from distill.units.jobs import Context, read_unit
from distill.units.outputs import Outputs
from distill.units.workshop import Workshop

__all__ = ["check_unit", "run_units"]

_DECODE: Callable[[bytes], list[Document]] = msgspec.json.Decoder(Document).decode_lines


def run_units(shop: Workshop, outputs: Outputs) -> Callable[[], list[str]]:
    """Write the index; return what reads it back and says what is wrong."""
    work, ref = shop.work, shop.stage.inputs(shop.work.plan)[0]
    path, writer, units = str(work.project / ref.path), outputs.index(), list[Unit]()
    for unit in shop.cut(ref):
        units.append(unit)
        writer.add(_rows(path, unit))
        work.progress(unit.end - unit.start)
    shop.books.add("accepted", None, times=writer.count)
    shop.count_input(ref, writer.count)
    return lambda: _check(shop, outputs.present(INDEX), units)


def _rows(path: str, unit: Unit) -> list[Document]:
    data = read_unit(path, unit, RAG)
    try:
        return _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # said with its place
        lines = enumerate(data.split(b"\n")[:-1], unit.lines + 1)
        return [decode_document(line, Document, place=f"{RAG}:{number}") for number, line in lines]


def _check(shop: Workshop, index: Path, units: list[Unit]) -> list[str]:
    """Read the index back; where it is as it should be, the hash over its rows is known too."""
    path, tree, before, met, found = str(shop.work.project / RAG), MerkleTree(), "", 0, list[str]()

    def tasks() -> Iterator[Task]:
        for unit in units:
            yield Task("distill.units.index:check_unit", (str(index), path, unit), f"{RAG}, bytes {unit.start:,} to {unit.end:,}")

    for one in shop.engine.map(tasks()):
        met += len(one.ids)
        found += one.found
        for name, leaf in zip(one.ids, one.leaves, strict=True):
            if name <= before:
                found.append(f"{INDEX}:{met}: [order] id {name!r} does not come after {before!r}")
            before = name
            tree.add(leaf)
    found = found or check_counts(index, met)
    shop.work.rows_hash = tree.root()
    return found


def check_unit(context: Context, payload: tuple[str, str, Unit]) -> Checked:
    """Hold a range of the index against the retrieval rows of a unit."""
    index, path, unit = payload
    return check_range(Path(index), _rows(path, unit), unit.lines + 1)
