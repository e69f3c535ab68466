"""EvidenceRecord: one run of an agent as a log told it, and where it stood (SPEC 3).

Scoring is not here: `distill.rules`.
"""

from typing import Annotated, Any, Literal

import msgspec

__all__ = ["Checks", "EvidenceRecord", "Message", "Provenance", "Role", "Signal", "SignalKind", "Tokens", "ToolCall", "Verdict"]

Role = Literal["system", "user", "assistant", "tool"]
SignalKind = Literal["human", "test", "judge", "self", "infrastructure"]
Verdict = Literal["pass", "fail", "partial", "with_changes", "escalate", "none"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our own records: immutable, by name, unknown fields refused."""


class ToolCall(_Record, frozen=True, kw_only=True):
    """One call of a tool by the agent."""

    id: str | None = None
    """Id the log gave the call."""
    name: str
    """Name of the tool."""
    arguments: Any = None
    """A JSON value, as logged."""


class Message(_Record, frozen=True, kw_only=True):
    """One message of the conversation as the agent saw it."""

    role: Role
    """Who spoke."""
    content: str | None = None
    """Text; null in a turn that only calls tools."""
    name: str | None = None
    """Name of the speaker or tool."""
    tool_calls: list[ToolCall] | None = None
    """Calls of an assistant turn."""
    tool_call_id: str | None = None
    """The call a tool message answers."""
    failed: bool | None = None
    """True where the log calls the turn wrong."""


class Checks(_Record, frozen=True, kw_only=True):
    """How many executed checks passed and failed."""

    passed: Count
    """Checks that passed."""
    failed: Count
    """Checks that failed."""


class Signal(_Record, frozen=True, kw_only=True):
    """One thing the log says about how the run went."""

    kind: SignalKind
    """Who says so: a person, an executed test, a model, the agent itself, or nobody (infrastructure)."""
    aspect: str | None = None
    """What a judge looked at; only `outcome` can accept."""
    verdict: Verdict
    """What it says."""
    value: Any = None
    """The reward as logged."""
    confidence: float | None = None
    """How sure a judge is, 0..1 as logged."""
    checks: Checks | None = None
    """Counts of an executed test."""
    by: str | None = None
    """The reviewer or scorer."""
    where: str
    """Field of the record it came from."""


class Tokens(_Record, frozen=True, kw_only=True):
    """Tokens of the run."""

    input: Count | None = None
    """Tokens read."""
    output: Count | None = None
    """Tokens written."""


class Provenance(_Record, frozen=True, kw_only=True):
    """Where the record stood, to the byte."""

    source_file: str
    """`<source>/<path below its root>`."""
    line: int | None = None
    """Line, counted from 1."""
    member: str | None = None
    """Member of an archive."""
    index: int | None = None
    """Place in an array."""
    key: str | None = None
    """Key in an object."""
    offset: int
    """Byte at which the record starts, in the unpacked file."""
    sig_hash: str
    """blake3 of the raw bytes without line end, 64 hex digits."""
    recorded_at: str | None = None
    """Time given by the caller, else the row's own `created_at`; never the clock."""

    def __str__(self) -> str:
        """Render the one-line form of SPEC 3."""
        at = f"@{self.offset}"
        if self.member is not None:
            place = f"!{self.member}"
        elif self.key is not None:
            place = f"{{{self.key}}}{at}"
        elif self.index is not None:
            place = f"[{self.index}]{at}"
        else:
            place = f":{self.line}{at}"
        return f"{self.source_file}{place} blake3:{self.sig_hash}"


class EvidenceRecord(_Record, frozen=True, kw_only=True):
    """One run of an agent at a task, as a log told it."""

    schema_version: Literal[1] = 1
    """Version of this record."""
    id: str
    """32 hex digits; of source, file-name groups, raw bytes and explode index."""
    run_id: str | None = None
    """The run's id in its log."""
    task_id: str | None = None
    """Identity of the task; never text the agent saw."""
    source: str
    """Name of the source in the config."""
    created_at: str | None = None
    """RFC 3339 in UTC with `Z`, at most six decimals."""
    model: str | None = None
    """Model that acted."""
    provider: str | None = None
    """Who served the model."""
    role: str | None = None
    """Role of the agent in its team."""
    instruction: str | None = None
    """What the agent was asked."""
    context: str | None = None
    """What it was given besides."""
    messages: list[Message] | None = None
    """The conversation, where the log has one."""
    response: str | None = None
    """The answer."""
    corrected_response: str | None = None
    """The answer a person would have given."""
    signals: list[Signal] = []
    """What the log says about how it went."""
    attempts: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """On which attempt it ended; null means the first."""
    errors: list[str] = []
    """Errors of the run that are not infrastructure."""
    lessons: list[str] = []
    """Reflections and notes."""
    reference: list[str] = []
    """Gold answers and tests; never exported."""
    tags: dict[str, str] = {}
    """Strategy, language, trial and the like."""
    cost_usd: float | None = None
    """US dollars."""
    latency_ms: float | None = None
    """Milliseconds."""
    tokens: Tokens | None = None
    """Tokens read and written."""
    group: str | None = None
    """What must stay together in a split."""
    subject: str | None = None
    """Whose data it is."""
    provenance: Provenance
    """Where it stood."""
