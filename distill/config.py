"""The settings: what they are and their defaults (SPEC 2).

Standard library only, so that a no-op build does not import msgspec. Reading and checking what a person wrote is in
`distill.config_file`; a config that arrives here as `Config` is whole. The pieces of a mapping are in `distill.config_specs`.
"""

import re
from typing import Any, NamedTuple

from distill.config_specs import (
    CheckSpec,
    ExplodeSpec,
    FailedTurns,
    FieldSpec,
    LookupSpec,
    Meaning,
    Range,
    SignalSpec,
    VerdictSpec,
    ZipSpec,
)

__all__ = [
    "CheckSpec", "Config", "Drift", "ExplodeSpec", "FailedTurns", "FieldSpec", "LookupSpec", "Meaning", "MinRows", "Playbooks",
    "Preference", "Range", "Sft", "SignalSpec", "Source", "VerdictSpec", "ZipSpec", "drift_fails", "named_groups", "setting_values",
]  # fmt: skip


class Source(NamedTuple):
    """One kind of log in one place."""

    name: str
    """Its name in every recorded path."""
    glob: str
    """Files below the root."""
    root: str = "."
    """Folder, absolute or relative to the project."""
    format: str | None = None
    """A built-in format of `distill.formats`."""
    reader: str | None = None
    """How records lie in a file, one of `distill.readers`; a format has its own."""
    file_pattern: str | None = None
    """Regular expression with named groups, searched in the path below the root."""
    created_at: str | None = None
    """`absent` where the log has no times."""
    run_id: str | None = None
    """`position` where the log has no run ids."""
    fields: tuple[tuple[str, tuple[FieldSpec, ...]], ...] = ()
    """Evidence field to where it comes from; several only for lists."""
    tags: tuple[tuple[str, FieldSpec], ...] = ()
    """Tag to where it comes from."""
    signals: tuple[SignalSpec, ...] = ()
    """What says how a run went."""
    partition_prefix: str | None = None
    """Replaces the source name in front of its partitions; may be empty."""
    members: str = "*.json"
    """Of an archive: pattern of the members that are records."""
    explode: ExplodeSpec | None = None
    """How one raw record holds several runs."""
    lookups: tuple[LookupSpec, ...] = ()
    """Files that fields are taken from."""
    verdicts: tuple[VerdictSpec, ...] = ()
    """Files that verdicts are taken from."""
    roles: tuple[tuple[str, str], ...] = ()
    """Role in the log to user, assistant, tool or system."""
    strip_markers: tuple[str, ...] = ()
    """Marks of a simulator, cut out of messages, instruction and response."""
    failed_turns: FailedTurns | None = None
    """Which assistant turns are wrong."""
    cumulative: str | None = None
    """Evidence field, or `tags.<name>`, by whose value a success is repeated in later files; playbooks count it once."""
    tokens: tuple[tuple[str, FieldSpec], ...] = ()
    """`input` and `output` to where they come from."""
    timezone: str | None = None
    """Zone of times that name none."""
    optional: bool = False
    """True where no file is no error."""
    run_id_scope: str | None = None
    """`source` or `project`; native logs share the project's."""
    task_id_required: bool = False
    """True where a record without task is unreadable."""
    license: str | None = None
    """Stated licence."""
    terms: str | None = None
    """Stated terms."""
    consent: str | None = None
    """Stated consent."""
    uses: tuple[str, ...] | None = None
    """Stated uses of rag, sft, preference, publish."""

    @property
    def scope(self) -> str:
        """What run ids and tasks of this source are unique in: empty for the project, else the source's name."""
        chosen = self.run_id_scope or ("project" if self.format else "source")
        return "" if chosen == "project" else self.name

    @property
    def prefix(self) -> str:
        """What stands in front of the source's partitions."""
        return self.name if self.partition_prefix is None else self.partition_prefix


class Sft(NamedTuple):
    """Settings of the SFT export."""

    include: tuple[str, ...] = ("accepted", "retried")
    """What is admitted: accepted, retried, with_changes, partial_reward."""
    allow_failed_turns: bool = False
    """Whether runs with turns marked wrong may stand in the whole-messages file."""


class Preference(NamedTuple):
    """Settings of the preference export."""

    max_pairs_per_task: int = 4
    """Pairs per task."""
    pair_scope: str = "any"
    """`any` or `same_model`."""
    step_pairs: bool = False
    """Whether a first divergence before the final answers makes a pair."""


class Playbooks(NamedTuple):
    """Settings of the playbooks."""

    group_by: str = "task_id"
    """Evidence field, or `tags.<name>`, whose value makes a group."""


class MinRows(NamedTuple):
    """Fewest rows each export may have."""

    sft: int = 1
    """Over both files."""
    rag: int = 0
    """Rows."""
    preference: int = 0
    """Pairs."""


class Drift(NamedTuple):
    """Thresholds of drift; each overridden by DISTILL_DRIFT_<KEY>."""

    warn_pct: float = 20.0
    """Change of an output in percent that warns."""
    new_reason_min: int = 5
    """Records from which a reason never seen before warns."""
    min_records: int = 100
    """Below, a stage is noted as `insufficient_sample`."""
    share_p: float = 0.01
    """Chance, over all questions of a run, below which a move of shares is significant."""
    share_points: float = 3.0
    """Percentage points beyond which a significant move warns."""
    z: float = 3.5
    """Standard errors beyond which a single share is significant by itself."""
    alert_p: float = 1e-4
    """As `share_p`, for an alert."""
    alert_points: float = 10.0
    """As `share_points`, for an alert."""
    vanished_pct: float = 5.0
    """Share from which a category that vanished is an alert."""
    pool_runs: int = 5
    """Good runs in the pool."""
    fail_on: str = "alert"
    """alert, warn or never: from where the exit status is 1."""


class Config(NamedTuple):
    """Everything a person can set."""

    sources: tuple[Source, ...] = ()
    """The logs."""
    max_skipped: float = 0
    """Skipped rows that are tolerated: a count, or a share below 1."""
    human_reviewers: tuple[str, ...] = ("human:*",)
    """Patterns of reviewers who are persons."""
    judge_confidence: float = 0.8
    """Confidence from which a judge is strong."""
    infrastructure_patterns: tuple[str, ...] = ("timed out", "rate limit", "connection", "out of memory")
    """Regular expressions, upper and lower case alike, of errors that are nobody's failure."""
    max_line_bytes: int = 64 << 20
    """Bytes of the longest line that is read."""
    sft: Sft = Sft()
    """SFT export."""
    preference: Preference = Preference()
    """Preference export."""
    playbooks: Playbooks = Playbooks()
    """Playbooks."""
    min_rows: MinRows = MinRows()
    """Fewest rows per export."""
    drift: Drift = Drift()
    """Drift."""
    engine: str | None = None
    """inline or processes; without it, processes where a stage reads more than two units. DISTILL_ENGINE overrides it."""
    workers: int = 0
    """Processes; 0 means one a core. DISTILL_WORKERS overrides it."""
    recorded_at: str | None = None
    """`--recorded-at` or DISTILL_RECORDED_AT; else each row's own time."""
    path: str = "pyproject.toml"
    """The file it was read from."""

    def source(self, name: str) -> Source:
        """Return the source of that name."""
        return next(source for source in self.sources if source.name == name)


def setting_values(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings a stage reads, as plain values; `scopes` and `positional` stand for what runs of a source are told apart by."""
    values: dict[str, Any] = {}
    known = config._fields
    for name in names:
        if name == "scopes":
            values[name] = {source.name: source.scope for source in config.sources}
        elif name == "cumulative":
            values[name] = {source.name: source.cumulative for source in config.sources if source.cumulative is not None}
        elif name == "positional":
            values[name] = sorted(source.name for source in config.sources if source.run_id == "position")
        elif name == "sources":
            values[name] = [_plain_source(source) for source in config.sources]
        elif name in known:
            value = getattr(config, name)
            values[name] = _plain(value)
        else:
            head, key = name.split(".")
            values[name] = getattr(getattr(config, head), key)
    return values


def _plain_source(source: Source) -> dict[str, Any]:
    """Return what a source says, without what changes no evidence; what it leaves out is left out."""
    ignored = {"optional", "license", "terms", "consent", "uses", "run_id_scope", "cumulative"}
    return {key: value for key, value in _plain(source, sparse=True).items() if key not in ignored}


def _plain(value: Any, *, sparse: bool = False) -> Any:
    """Return a setting as dicts, lists and plain values; `sparse` leaves out what has its default, so that a new setting moves no hash."""
    if sparse and hasattr(value, "_asdict"):
        defaults = value._field_defaults
        said = {key: item for key, item in value._asdict().items() if key not in defaults or _differs(item, defaults[key])}
        return {key: _plain(item, sparse=True) for key, item in said.items()}
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    return [_plain(item, sparse=sparse) for item in value] if isinstance(value, tuple) else value


def _differs(value: Any, default: Any) -> bool:
    return type(value) is not type(default) or value != default


def named_groups(pattern: str | None) -> tuple[str, ...]:
    """Return the named groups of a file pattern, in its order."""
    return tuple(re.compile(pattern).groupindex) if pattern else ()


def drift_fails(severity: str, fail_on: str) -> bool:
    """Tell whether a severity of drift fails the exit status under `drift.fail_on`; one that cannot be read may have been an alert."""
    return severity in {"alert", "unknown"} if fail_on == "alert" else fail_on == "warn" and severity != "ok"
