"""Conversations in a sample: lists of messages under any name, with any names of roles (issue 5.3).

Pure. A list is a conversation where its items have a role and a text; the key it stands under only decides between several.
"""

import re
from typing import NamedTuple

from distill.canonical import load_plain
from distill.onboarding.names import MESSAGES, ROLES
from distill.onboarding.paths import Catalog, Found, join_path, render_value

__all__ = ["Talk", "find_talk"]

_ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
_TEXT_KEYS = ("content", "value", "text", "message")
_MARKER = re.compile(r"###[A-Z_]+###|<\|[a-z_]+\|>")
_OWN_ROLES = frozenset({"user", "assistant", "tool", "system"})


class Talk(NamedTuple):
    """Where the conversation of a run stands."""

    path: str
    """Path of the list."""
    value: str
    """The field as TOML."""
    roles: tuple[str, ...]
    """Settings of `roles`, as TOML."""
    roles_note: str
    """What of them was guessed."""
    note: str
    """What is to be known of it."""
    sure: bool
    """False where its items cannot all be read as messages."""
    answered: bool
    """Whether some message is the assistant's, so that the last of them is the answer."""
    markers: tuple[str, ...]
    """Marks of a simulator in its texts."""


def find_talk(catalog: Catalog, base: tuple[str, ...]) -> Talk | None:
    """Return the conversation of a run, or None; of several the one with the surest name, then the outer one."""
    lists = [found for found in catalog.plain() if found.kinds["list"] and found.parts[: len(base)] == base]
    talks = [(found, keys) for found in lists if (keys := _keys(catalog, found)) is not None]
    if not talks:
        return None
    found, (role, text) = min(talks, key=lambda item: (_rank(item[0]), item[0].depth))
    return _talk(catalog, found, role, text)


def _rank(found: Found) -> int:
    return MESSAGES.index(found.leaf) if found.leaf in MESSAGES else len(MESSAGES)


def _keys(catalog: Catalog, found: Found) -> tuple[str, str] | None:
    """Return the keys of role and text in the items of a list, or None where it is no conversation."""
    inside = {key: item for key in (*_ROLE_KEYS, *_TEXT_KEYS) if (item := catalog.found.get((*found.parts, "[]", key))) is not None}
    role = next((key for key in _ROLE_KEYS if key in inside and inside[key].has_only("text") and len(inside[key].counts) <= 20), None)
    text = next((key for key in _TEXT_KEYS if key in inside and inside[key].kinds["text"]), None)
    return None if role is None or text is None else (role, text)


def _talk(catalog: Catalog, found: Found, role: str, text: str) -> Talk:
    met = [str(load_plain(value)) for value, _ in catalog.found[*found.parts, "[]", role].values(20)]
    others = sorted(name for name in met if name not in _OWN_ROLES)
    guessed = [name for name in others if name.lower() not in ROLES]
    roles = tuple(f'{render_value(name)} = "{ROLES.get(name.lower(), "assistant")}"' for name in others)
    extra = "" if role == "role" else f", role = {render_value(role)}"
    extra += "" if text == "content" else f", content = {render_value(text)}"
    whole = catalog.found[*found.parts, "[]", text].has_only("text")
    note = "" if whole else f"unsure: {join_path((*found.parts, '[]', text))} is not always text"
    speaking = {ROLES.get(name.lower(), name) for name in met} | ({"assistant"} if guessed else set())
    texts = catalog.found[*found.parts, "[]", text].counts
    markers = tuple(sorted({mark for content in texts for mark in _MARKER.findall(content)}))
    return Talk(
        found.path, f"{{ path = {render_value(found.path)}{extra} }}", roles,
        f"unsure: who is {', '.join(map(render_value, guessed))}?" if guessed else "", note, whole, "assistant" in speaking,
        markers,
    )  # fmt: skip
