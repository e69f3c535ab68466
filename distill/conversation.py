"""What an agent saw and said, in the one text form that exports, comparisons and pairs share (SPEC 3, SPEC 5.5).

Laws: roles alternate after an optional system message; the first of them is the user's; two runs have equal text
when their turns up to the last answer are equal with white space made one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from distill.canonical import dump_sorted
from distill.hashing import hash_bytes, hash_parts, join_parts, short_hash
from distill.schemas.evidence import EvidenceRecord, Message

__all__ = ["KeyOfPlain", "Turn", "answer_key", "build_turns", "has_leak", "normalise", "render_messages", "text_key", "user_text"]

LEAK_LENGTH = 20


class Turn(NamedTuple):
    """One turn as it is exported."""

    role: str
    """system, user or assistant."""
    content: str
    """Text, tool calls and tool results in the fixed form."""
    failed: bool = False
    """True where the log calls it wrong."""


def normalise(text: str) -> str:
    """Return the text with runs of white space made one and its ends cut; a text that is so already costs next to nothing."""
    if text.isascii() and "  " not in text and "\n" not in text and text[:1] != " " and text[-1:] != " ":
        plain = "\t" not in text and "\r" not in text and "\x0b" not in text and "\x0c" not in text
        if plain and "\x1c" not in text and "\x1d" not in text and "\x1e" not in text and "\x1f" not in text:
            return text
    return " ".join(text.split())


def user_text(record: EvidenceRecord) -> str:
    """Return what the agent was asked: the first user message, or instruction and context; empty where nothing is."""
    if record.messages is not None:
        return next((message.content for message in record.messages if message.role == "user" and message.content), "")
    instruction = record.instruction or ""
    return f"{instruction}\n\n{record.context}" if record.context and instruction else instruction


def _render(message: Message) -> Turn:
    parts = [message.content] if message.content else []
    if message.role == "tool":
        return Turn("user", f"<tool_response>{message.content or ''}</tool_response>")
    parts += [
        f'<tool_call>{{"name": {dump_sorted(call.name)}, "arguments": {dump_sorted(call.arguments)}}}</tool_call>'
        for call in message.tool_calls or ()
    ]
    return Turn(message.role, "\n".join(parts), bool(message.failed))


def render_messages(messages: list[Message]) -> list[Turn]:
    """Return the turns of a conversation, neighbours of one role joined; empty messages are left out.

    A system message after the first turn speaks to the agent as the user does and is joined to the user's turns.
    """
    turns: list[Turn] = []
    for message in messages:
        turn = _render(message)
        if turn.role == "system" and any(before.role != "system" for before in turns):
            turn = turn._replace(role="user")
        if not turn.content.strip():
            continue
        if turns and turns[-1].role == turn.role:
            last = turns.pop()
            turn = Turn(turn.role, f"{last.content}\n{turn.content}", last.failed or turn.failed)
        turns.append(turn)
    return turns


def build_turns(record: EvidenceRecord, *, response: str | None = None) -> list[Turn]:
    """Return the turns of a run up to its last answer; empty where it has no user text or no answer.

    `response` replaces the last answer (a person's correction). What came after the last answer, and what the agent
    said before the first user turn, is cut.
    """
    asked = user_text(record)
    if not asked.strip():
        return []
    if record.messages is None:
        answer = response or record.response or ""
        return [Turn("user", asked), Turn("assistant", answer)] if answer.strip() else []
    turns = render_messages(record.messages)
    while turns and turns[-1].role != "assistant":
        turns.pop()
    first = next((i for i, turn in enumerate(turns) if turn.role == "user"), len(turns))
    turns = [turn for i, turn in enumerate(turns) if turn.role == "system" or i >= first]
    if not any(turn.role == "user" for turn in turns):
        return []
    if response:
        turns[-1] = Turn("assistant", response)
    return turns


def text_key(turns: Sequence[Turn]) -> bytes | None:
    """Return what equal texts share, or None where there is no answer (SPEC 4, "Equal text")."""
    if not turns:
        return None
    parts: list[str] = []
    for turn in turns:
        parts += (turn.role, normalise(turn.content))
    return hash_parts(parts)


class KeyOfPlain:
    """Gives `text_key` of an exchange of one question and one answer, 16 bytes, zeros without either; the last question is remembered."""

    def __init__(self) -> None:
        """Remember no question yet."""
        self._asked, self._head = "", b""

    def __call__(self, asked: str, answer: str) -> bytes:
        """Return the key of a question and its answer."""
        if asked != self._asked:
            self._asked, self._head = asked, join_parts("user", normalise(asked), "assistant") if asked.strip() else b""
        if not self._head or not answer.strip():
            return bytes(16)
        return short_hash(self._head + join_parts(normalise(answer)))


def answer_key(record: EvidenceRecord) -> str:
    """Return what equal answers share; empty where there is none."""
    answer = normalise(record.response or "")
    return hash_bytes(answer.encode())[:32] if answer else ""


def has_leak(record: EvidenceRecord) -> bool:
    """Tell whether a whole reference value of 20 or more characters stands in what the agent was told (SPEC 2)."""
    references = [text for text in map(normalise, record.reference) if len(text) >= LEAK_LENGTH]
    if not references:
        return False
    told = [record.instruction or "", user_text(record)]
    told += [message.content or "" for message in record.messages or () if message.role == "system"]
    told += [turn.content for turn in render_messages(record.messages or []) if turn.role == "user"][:1]  # with its neighbours, as exported
    heard = [normalise(text) for text in told]
    return any(reference in text for reference in references for text in heard)
