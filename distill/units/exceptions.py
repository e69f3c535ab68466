"""The resolution as units look it up: the rows about a run, and which runs are told in several rows."""

from collections import defaultdict
from pathlib import Path

from distill.jsonl import row_decoder
from distill.plan import RESOLUTION
from distill.schemas.scored_run import ResolutionRow
from distill.units.workshop import Context

__all__ = ["Exceptions", "read_exceptions"]

_MEMBER = frozenset({"same_run", "superseded_by_review"})


class Exceptions:
    """The resolution by evidence id. Memory: the exceptions, which are few in a log that tells every run once."""

    def __init__(self, path: Path) -> None:
        """Read the resolution."""
        decode = row_decoder(ResolutionRow)
        self._rows: defaultdict[tuple[str, str], list[ResolutionRow]] = defaultdict(list)
        self._leads: dict[str, str] = {}
        joined: set[str] = set()
        with path.open("rb") as lines:
            for line in lines:
                row = decode(line)
                self._rows[row.evidence_id, row.provenance].append(row)
                if row.kind in _MEMBER and row.with_:
                    self._leads[row.evidence_id] = row.with_[0]
                elif row.kind == "pooled":
                    joined.add(row.evidence_id)
        self._joined = joined | set(self._leads.values())
        self._known = {identity for identity, _ in self._rows} | self._joined

    def speaks_of(self, identity: str) -> bool:
        """Tell whether anything is said of a run, by its evidence id."""
        return identity in self._known

    def about(self, identity: str, where: str) -> list[ResolutionRow]:
        """Return the rows about one evidence row."""
        return self._rows.get((identity, where), [])

    def leads_to(self, identity: str) -> str | None:
        """Return the evidence id of the row that this one adds to, or None."""
        return self._leads.get(identity)

    def is_joined(self, identity: str) -> bool:
        """Tell whether other rows add to this one."""
        return identity in self._joined


def read_exceptions(context: Context) -> Exceptions | None:
    """Return the exceptions, read once by each worker; None where there are none."""
    if "exceptions" not in context.memo:
        path = Path(context.project) / RESOLUTION
        context.memo["exceptions"] = Exceptions(path) if path.stat().st_size else None
    found: Exceptions | None = context.memo["exceptions"]
    return found
