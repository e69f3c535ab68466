"""The rows of the exports, in the exact column order that `datasets`, TRL and axolotl load untouched (SPEC 5).

Law: the same key set and types in every row, no column that can be null in a whole file, no time column.
"""

from typing import Annotated, Literal

import msgspec

__all__ = ["ChatMessage", "Pitfall", "Playbook", "PreferenceRow", "PromptCompletionRow", "RagRow", "SftRow", "Statement"]


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of exported rows."""


class ChatMessage(_Row, frozen=True, kw_only=True):
    """A message as trainers want it."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said; tool calls and results in the text form of SPEC 5.5."""


class Statement(_Row, frozen=True, kw_only=True):
    """One statement of a playbook and the runs behind it."""

    text: str
    """What is said."""
    support: int
    """How many runs say so."""
    of: int
    """Out of how many."""
    evidence_ids: list[str]
    """The runs behind it, sorted."""


class Pitfall(_Row, frozen=True, kw_only=True):
    """Something that went wrong, from reflections, reviewers or failing runs."""

    text: str
    """What went wrong, or what was learnt."""
    kind: Literal["lesson", "human_reason", "error", "call"]
    """Where it comes from; `call` is a call that only failing runs made."""
    evidence_ids: list[str]
    """The runs behind it, sorted."""


class Playbook(_Row, frozen=True, kw_only=True):
    """What the runs of one task group teach (SPEC 5.1)."""

    schema_version: Literal[1] = 1
    """Version of this record."""
    id: str
    """blake3 (16 bytes, hex) of `playbook` and the group."""
    group: str
    """Value of `playbooks.group_by`, with its scope where it is not the project's."""
    kind: Literal["playbook", "pitfalls"]
    """`pitfalls` where no run of the group was accepted."""
    title: str
    """First line of the task's text, shortened."""
    when: str
    """When it applies: the task's user text."""
    steps: list[Statement]
    """Worked example, or the sequence of calls."""
    pitfalls: list[Pitfall]
    """What went wrong."""
    counts: dict[str, int]
    """Runs by category."""
    models: list[str]
    """Models that passed, sorted."""
    single_support: bool
    """True where one run alone stands behind the steps."""
    source_run_ids: list[str]
    """Runs that passed, sorted."""
    failed_run_ids: list[str]
    """Runs that were rejected, sorted."""
    evidence_ids: list[str]
    """Every run of the group, sorted."""
    provenance: str
    """Members joined by `; `."""


class RagRow(_Row, frozen=True, kw_only=True):
    """One retrievable document: an accepted run or a playbook (SPEC 5.2)."""

    id: str
    """Evidence id, or the playbook's id."""
    kind: Literal["run", "playbook", "pitfalls"]
    """What it is made of."""
    title: str
    """First line of the task's text."""
    content: str
    """What a reader is shown."""
    tags: list[str]
    """`key=value`, sorted."""
    source_run_ids: list[str]
    """Runs behind it that passed."""
    failed_run_ids: list[str]
    """Runs that were rejected."""
    success_score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """The run's score; for a playbook the share of passing runs."""
    embedding_text: str
    """What is embedded; never a rejected run's text."""
    provenance: str
    """Where it comes from."""


class SftRow(_Row, frozen=True, kw_only=True):
    """One whole conversation to imitate (SPEC 5.3)."""

    messages: list[ChatMessage]
    """The conversation; the last message is the assistant's."""
    instruction: str
    """The user text."""
    response: str
    """The last assistant message."""
    id: str
    """Evidence id."""
    source_run_id: str
    """The run's id in its log."""
    quality_score: str
    """The category."""
    provenance: str
    """Where it comes from."""


class PromptCompletionRow(_Row, frozen=True, kw_only=True):
    """One assistant turn to imitate, with what came before it (SPEC 5.3)."""

    prompt: list[ChatMessage]
    """Everything the agent had seen."""
    completion: list[ChatMessage]
    """The one message to learn."""
    id: str
    """`<evidence id>#<turn, four digits>`."""
    source_run_id: str
    """The run's id in its log."""
    quality_score: str
    """The category."""
    provenance: str
    """Where it comes from."""


class PreferenceRow(_Row, frozen=True, kw_only=True):
    """One pair of answers to the same prompt (SPEC 5.4)."""

    prompt: list[ChatMessage]
    """The longest common prefix."""
    chosen: list[ChatMessage]
    """The better answer, one message."""
    rejected: list[ChatMessage]
    """The worse answer, one message."""
    id: str
    """Of the chosen and the rejected id."""
    chosen_run_id: str
    """Run of the better answer."""
    rejected_run_id: str
    """Run of the worse answer."""
    chosen_model: str
    """Model of the better answer, or empty."""
    rejected_model: str
    """Model of the worse answer, or empty."""
    reason: str
    """Slug that rejected the rejected run."""
    provenance: str
    """Both places, joined by `; `."""
