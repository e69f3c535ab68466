"""Where the work of a stage happens: today in this process.

An engine takes a stage's generator and the records it reads and hands back outcomes; it knows neither files nor
receipts, so that another engine can take its place.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from distill.outcome import Outcome

__all__ = ["run_inline"]


def run_inline(module: str, *records: Any) -> Iterator[Outcome]:
    """Run a stage's generator over its records in this process."""
    outcomes: Iterator[Outcome] = import_module(module).run(*records)
    return outcomes
