"""A mapped source from a few lines of config, and what it reads, for the tests of mappings."""

import tomllib
from typing import Any

import pytest

from distill.config import Config
from distill.config_file import build_config
from distill.formats.reading import Position, Reading
from distill.jsonl import BadLine
from distill.mapping import reader as mapping

PLACE = Position("m/a.jsonl", 7, {"folder": "gpt-4", "file": "a"})
HEAD = '[[sources]]\nname = "m"\nglob = "*"\nreader = "jsonl"\nfile_pattern = "(?P<folder>[^/]+)/(?P<file>[^/]+)$"\n'
FIELDS = '[sources.fields]\ninstruction = { path = "q" }\nresponse = { path = "a" }\n'
TALK = '[sources.fields]\nmessages = { path = "m" }\n'


def config(text: str) -> Config:
    """Build a config of one mapped source."""
    return build_config(tomllib.loads(HEAD + text), path="distill.toml", environ={})


def read(text: str, record: dict[str, Any], place: Position = PLACE) -> Any:
    """Read one raw record through a mapping."""
    built = config(text)
    return mapping.build_reader(built.sources[0], built)(record, place)


def values(text: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return the evidence fields of a record that holds one run."""
    reading = read(text, record)
    assert isinstance(reading, Reading)
    return reading.values


def refused(text: str, record: dict[str, Any]) -> str:
    """Return why a record is skipped."""
    with pytest.raises(BadLine) as caught:
        read(text, record)
    return f"{caught.value.reason}: {caught.value.detail}"


def talk(*turns: tuple[str, str | None]) -> list[dict[str, Any]]:
    """Return messages of roles and contents."""
    return [{"role": role, "content": content} for role, content in turns]


def turns(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return roles and contents of the messages that were read."""
    return [(message.role, message.content) for message in found["messages"]]
