"""The books of a stage: every unit counted once, wherever it was worked on (SPEC 6, "The books")."""

from collections import Counter, defaultdict
from typing import Any

from distill.outcome import Outcome
from distill.schemas.stage_receipt import Stats

__all__ = ["Books"]

_KINDS = ("accepted", "rejected", "quarantined", "skipped", "filtered")
_REASONED = frozenset({"quarantined", "skipped", "filtered"})


class Books:
    """Counts outcomes; books of several units add up."""

    def __init__(self, *, by_file: bool) -> None:
        """Start at nothing; `by_file` also counts per partition."""
        self._keeps_files = by_file
        self.kinds: Counter[str] = Counter()
        """Units by outcome."""
        self.fates: Counter[tuple[str, str]] = Counter()
        """Units that were not accepted or rejected, by outcome and slug."""
        self.by_file: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Per partition, units by outcome, category and reason."""
        self.warnings: Counter[str] = Counter()
        """What is worth telling, and how often."""
        self.errors: Counter[str] = Counter()
        """Why the stage does not pass, where no single unit is at fault."""

    def count(self, outcome: Outcome) -> None:
        """Count one outcome; one without unit only brings rows or a warning."""
        if outcome.warning is not None:
            self.warnings[outcome.warning] += 1
        if outcome.error is not None:
            self.errors[outcome.error] += 1
        if outcome.unit is not None:
            self.add(outcome.kind, outcome.reason, file=outcome.file, category=outcome.category)

    def add(self, kind: str, reason: str | None, *, file: str | None = None, category: str | None = None, times: int = 1) -> None:
        """Count `times` units of one fate; a negative number takes them back."""
        self.kinds[kind] += times
        if kind in _REASONED:
            self.fates[kind, reason or "unnamed"] += times
        if self._keeps_files and file is not None:
            counts = self.by_file[file]
            for name in {kind, category, reason} - {None}:
                counts[str(name)] += times

    def facts(self) -> dict[str, Any]:
        """Return the books as plain values."""
        by_file = {path: dict(counts) for path, counts in self.by_file.items()}
        fates = [[*fate, times] for fate, times in self.fates.items()]
        return {"kinds": dict(self.kinds), "fates": fates, "by_file": by_file, "warnings": dict(self.warnings)}

    def merge(self, facts: dict[str, Any]) -> None:
        """Add the books of another unit."""
        self.kinds.update(facts["kinds"])
        self.fates.update({(kind, reason): times for kind, reason, times in facts["fates"]})
        self.warnings.update(facts["warnings"])
        for path, counts in facts["by_file"].items():
            self.by_file[path].update(counts)

    def close(self, unit: str) -> Stats:
        """Return the books as a receipt has them."""
        by_file = {path: {name: n for name, n in sorted(counts.items()) if n} for path, counts in sorted(self.by_file.items())}
        reasons: Counter[str] = Counter()
        for (_, slug), n in sorted(self.fates.items(), key=lambda fate: fate[0][1]):
            reasons[slug] += n
        counted = {slug: n for slug, n in reasons.items() if n}
        return Stats(
            unit=unit, considered=self.kinds.total(), reasons=counted, by_file={path: counts for path, counts in by_file.items() if counts},
            **{kind: self.kinds[kind] for kind in _KINDS},
        )  # fmt: skip
