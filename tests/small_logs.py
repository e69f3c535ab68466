"""Small logs for the tests of `distill init` and `distill preview`, and the settings proposed for them."""

import json
import tomllib
from pathlib import Path
from typing import Any

from distill.config import Config
from distill.config_file import build_config
from distill.onboarding.compose import propose_sources, render_config
from distill.onboarding.sniff import find_files, survey_files

__all__ = ["ROWS", "lines_of", "loaded", "proposal"]

ROWS: list[dict[str, Any]] = [
    {"id": f"r-{i}", "task_id": f"t-{i % 3}", "prompt": f"Do {i}.", "answer": f"Done {i}.", "passed": i % 2 == 0} for i in range(6)
]
"""Six runs under names that leave no doubt."""


def lines_of(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def proposal(folder: Path) -> str:
    """Return the settings proposed for a folder."""
    return render_config(propose_sources(folder, str(folder), survey_files(folder, find_files(folder, is_project=False))))


def loaded(text: str) -> Config:
    """Return the config a text is."""
    return build_config(tomllib.loads(text), path="distill.toml", environ={})
