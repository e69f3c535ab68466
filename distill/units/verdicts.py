"""Which keys of verdicts no run names, and which are named by several (SPEC 2): a pass over the runs before collect joins anything.

The pass reads a source as collect does, but with verdicts that are asked for instead of given (`Prepared.asking`), so every reader,
format and mapping names its keys in its own way. Runs are told apart by their run id, else by their evidence id: rows of one run, and
a record that was logged twice, are one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from heapq import nsmallest
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.config import Config
from distill.hashing import hash_bytes, row_id
from distill.outcome import Outcome
from distill.plan import EVIDENCE
from distill.schemas.evidence import EvidenceRecord
from distill.sides import ASKED, Sides
from distill.units.jobs import Context, Job
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, read_lines_of
from distill.units.sides import Prepared, Store, held_keys
from distill.units.workshop import Workshop

__all__ = ["ask_plain", "ask_unit", "asked_in", "find_ambiguous", "gather_bucket", "hold_unit"]

_SHOWN = 3
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(tuple[str, str, str, str | None]).decode
_NAME = f"{ASKED} "

Asked = tuple[str, str, str, str | None]
"""Source, name of its verdicts, key, and the run that names it; None where the second file holds it."""


class _Found(NamedTuple):
    """What the keys of one file of verdicts came to."""

    several: list[str]
    """Keys that more than one run names."""
    unhit: int
    """Keys that no run names."""
    shown: list[str]
    """The first of them."""


def asked_in(record: EvidenceRecord, config: Config) -> Iterator[Asked]:
    """Yield the keys that a run named while verdicts were asked for."""
    positional = config.source(record.source).run_id == "position"
    identity = record.id if positional or record.run_id is None else record.run_id
    for signal in record.signals:
        if signal.aspect is not None and signal.aspect.startswith(_NAME):
            yield record.source, signal.aspect.removeprefix(_NAME), str(signal.value), identity


def ask_unit(context: Context, payload: tuple[str, Any, Prepared]) -> Part:
    """Read one unit as collect does and keep the keys its runs name."""
    from distill.units.collect import outcomes_of  # noqa: PLC0415 -- it imports this module

    path, batch, prepared = payload
    outcomes = outcomes_of(context, batch, prepared.asking().of)
    return _save(path, {one for record in _evidence(outcomes) for one in asked_in(record, context.config)})


def hold_unit(context: Context, payload: tuple[str, Store]) -> Part:
    """Keep the keys that a file of verdicts holds."""
    path, store = payload
    return _save(path, {(store.source, store.name, key, None) for key in held_keys(store)})


def _evidence(outcomes: Iterable[Outcome]) -> Iterator[EvidenceRecord]:
    for outcome in outcomes:
        for row in outcome.rows:
            if isinstance(row.value, EvidenceRecord) and row.target.startswith(EVIDENCE):
                yield row.value


def _save(path: str, asked: Iterable[Asked]) -> Part:
    part = PartWriter()
    part.keyed["asked"] += [row_id(*one[:3]).encode() + _ENCODE(one) for one in asked]
    return part.save(path, {"books": Books(by_file=True).facts()})


def gather_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Find the keys of a bucket that no run or more than one names."""
    path, ranges = payload
    part = PartWriter()
    unhit: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        asked = [_DECODE(line[KEY:]) for line in group]
        held, runs = any(one[3] is None for one in asked), {one[3] for one in asked} - {None}
        source, name, key, _ = asked[0]
        if held and not runs:
            unhit[source, name].append(key)
        elif held and len(runs) > 1:
            part.keyed["several"].append(row_id(source, name, key).encode() + _ENCODE((source, name, key, None)))
    told = [[source, name, len(keys), nsmallest(_SHOWN, keys)] for (source, name), keys in sorted(unhit.items())]
    return part.save(path, {"books": Books(by_file=True).facts(), "unhit": told})


def find_ambiguous(shop: Workshop, prepared: Prepared, jobs: Iterable[Job]) -> Prepared:
    """Return the second files with the keys that cannot be joined to one run, and what is to be told of them.

    `jobs` are those collect will do for the sources that have verdicts; they are done here once more, with verdicts asked for.
    """
    stores = _verdict_stores(prepared, shop.work.config)
    if not stores:
        return prepared
    held = [Job("distill.units.verdicts:hold_unit", (store,), (store.digest,), f"keys of {store.name}") for store in stores]
    asking = (job._replace(function="distill.units.verdicts:ask_unit", digests=("asked", *job.digests), bytes=0) for job in jobs)
    parts = [*shop.parts(held), *shop.parts(asking)]
    gathered = list(shop.parts(_buckets(parts)))
    several: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for bucket in bucket_ranges(gathered, "several"):
        for line in read_lines_of(bucket.ranges):
            source, name, key, _ = _DECODE(line[KEY:])
            several[source, name].append(key)
    unhit: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for part in gathered:
        for source, name, count, shown in part.facts["unhit"]:
            unhit[source, name].append((count, shown))
    found: dict[tuple[str, str], _Found] = {}
    for store in stores:
        told = unhit[store.source, store.name]
        shown = nsmallest(_SHOWN, (key for _, keys in told for key in keys))
        found[store.source, store.name] = _Found(sorted(several[store.source, store.name]), sum(count for count, _ in told), shown)
    return _conclude(prepared, shop.work.config, found)


def _buckets(parts: list[Part]) -> Iterator[Job]:
    for bucket in bucket_ranges(parts, "asked"):
        yield Job("distill.units.verdicts:gather_bucket", (bucket,), (bucket.digest,), f"keys of {len(bucket.taken)} units")


def ask_plain(outcomes: Callable[[Callable[[str], Sides | None]], Iterable[Outcome]], config: Config, prepared: Prepared) -> Prepared:
    """Do the same over the whole corpus in memory: `outcomes` gives those of collect for a way to find a source's second files."""
    stores = _verdict_stores(prepared, config)
    if not stores:
        return prepared
    runs: defaultdict[tuple[str, str], defaultdict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for record in _evidence(outcomes(prepared.asking().of)):
        for source, name, key, identity in asked_in(record, config):
            runs[source, name][key].add(identity)
    found: dict[tuple[str, str], _Found] = {}
    for store in stores:
        named, keys = runs[store.source, store.name], list(held_keys(store))
        unhit = [key for key in keys if key not in named]
        found[store.source, store.name] = _Found([key for key in keys if len(named[key]) > 1], len(unhit), nsmallest(_SHOWN, unhit))
    return _conclude(prepared, config, found)


def _verdict_stores(prepared: Prepared, config: Config) -> list[Store]:
    verdicts = {(source.name, spec.name) for source in config.sources for spec in source.verdicts}
    return [store for store in prepared.stores if (store.source, store.name) in verdicts]


def _conclude(prepared: Prepared, config: Config, found: dict[tuple[str, str], _Found]) -> Prepared:
    """Write down the keys of several runs, and tell of all that could not be joined to one."""
    stores: list[Store] = []
    warnings = list(prepared.warnings)
    for store in prepared.stores:
        told = found.get((store.source, store.name))
        if told is None:
            stores.append(store)
            continue
        path = next(spec.path for spec in config.source(store.source).verdicts if spec.name == store.name)
        for count, keys, what in ((told.unhit, told.shown, "hit no run"), (len(told.several), told.several[:_SHOWN], "hit several runs")):
            if count:
                named = ", ".join(keys) + (", …" if count > len(keys) else "")
                warnings.append(f"ambiguous_verdict: {store.source}: {count} keys of {path} {what} ({named})")
        stores.append(store._replace(several=_write(store, told.several)) if told.several else store)
    return prepared._replace(stores=tuple(stores), warnings=tuple(warnings))


def _write(store: Store, keys: list[str]) -> str:
    """Write keys to a file of their own, named by what is in it, beside those of the second file."""
    data = b"".join(_ENCODE({"key": key}) + b"\n" for key in keys)
    path = Path(f"{store.path}.several-{hash_bytes(data)}")
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
    return str(path)
