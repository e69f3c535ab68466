"""What `distill preview --json` prints: one `Previews` document, schema version 1."""

import msgspec

from distill.schemas.evidence import EvidenceRecord

__all__ = ["Estimate", "FieldFound", "Preview", "Previews", "SkippedFound", "ValueFound", "ValuesFound"]


class FieldFound(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the raw records."""

    path: str
    """Path expression."""
    share: float
    """Share of the sample's records that hold something other than null there, a fraction of 1."""
    kinds: list[str]
    """Kinds of value met, the most frequent first."""
    example: str
    """A value as JSON, cut at 60 characters."""


class SkippedFound(msgspec.Struct, frozen=True, kw_only=True):
    """Records that cannot be read, for one reason."""

    reason: str
    """Slug."""
    count: int
    """How many of the sample."""
    action: str
    """What to do about it."""
    detail: str
    """What was found in the first of them."""
    place: str
    """Where the first of them stands."""


class ValueFound(msgspec.Struct, frozen=True, kw_only=True):
    """One raw value of a signal."""

    value: str
    """As JSON, cut at 60 characters."""
    verdict: str
    """What it was taken for."""
    count: int
    """How often it was met."""


class ValuesFound(msgspec.Struct, frozen=True, kw_only=True):
    """What one signal met."""

    where: str
    """The field it came from."""
    kind: str
    """Who decided."""
    values: list[ValueFound]
    """At most 20, the most frequent first."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A full run over the source, as the sample tells; rough by nature."""

    seconds: float
    """CPU time of the whole pipeline; on several cores it takes less."""
    disk_bytes: int
    """Bytes of data, exports and the build's own store."""
    bytes_per_second: int
    """Raw bytes read and scored a second, measured."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What one source would give."""

    source: str
    """Its name."""
    files: int
    """Files it matches."""
    files_read: int
    """Files the sample comes from."""
    bytes: int
    """Bytes of all its files, as they lie on the disk."""
    records_read: int
    """Raw records in the sample."""
    records: int
    """Raw records in all files: counted where `complete`, else estimated."""
    complete: bool
    """Whether the sample is the whole source."""
    evidence_count: int
    """Evidence records of the sample."""
    fields: list[FieldFound]
    """Paths of the raw records, in the order in which they were met."""
    evidence: list[EvidenceRecord]
    """The first three evidence records."""
    categories: dict[str, int]
    """What the sample's runs score to, each by itself."""
    reasons: dict[str, int]
    """The slugs that decide."""
    skipped: list[SkippedFound]
    """What cannot be read."""
    filtered: dict[str, int]
    """What gives no evidence of its own, by reason."""
    warnings: dict[str, int]
    """What is worth telling, how often each."""
    values: list[ValuesFound]
    """What each signal met."""
    unmatched: list[str]
    """Expressions that matched nothing in the sample, with the nearest keys really present."""
    estimate: Estimate
    """Time and disk of the whole."""
    proposal: str | None = None
    """The source's tables, where no config names it."""


class Previews(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    schema_version: int = 1
    """Version of this document."""
    sources: list[Preview]
    """One source, or those a glob was found to hold."""
