"""Whether an executed stage may be relied on: skipped rows, too few exported rows, vanished partitions (SPEC 5.5, SPEC 7)."""

from collections.abc import Sequence

from distill.books import Books
from distill.config import Config
from distill.reasons import action_of, meaning_of
from distill.schemas.stage_receipt import FileState, Stats, Validation
from distill.stages import COMPLETIONS, PREFERENCE, RAG, SFT, Stage

__all__ = ["validate_stage"]

_EXPORTS = {
    "export-sft": ("sft", (SFT, COMPLETIONS)),
    "export-rag": ("rag", (RAG,)),
    "export-preference": ("preference", (PREFERENCE,)),
}


def validate_stage(stage: Stage, config: Config, stats: Stats, *, books: Books, written: Sequence[FileState]) -> Validation:
    """Return the verdict on an executed stage, with the errors and warnings its books hold."""
    errors = sorted(books.errors)
    notes = [text if count == 1 else f"{text} ({count} records)" for text, count in sorted(books.warnings.items())]
    for kind in ("quarantined", "skipped", "filtered"):
        count = getattr(stats, kind)
        if count and stage.name != "score":
            fates = [(-n, slug) for (one, slug), n in books.fates.items() if one == kind and n]
            notes.append(f"{count} {kind} ({' '.join(f'{slug}={-n}' for n, slug in sorted(fates))})")
    if stage.name == "collect":
        errors += _too_many_skipped(config, stats)
    if stage.name in _EXPORTS:
        name, paths = _EXPORTS[stage.name]
        rows = sum(file.record_count for file in written if file.path in paths)
        least = getattr(config.min_rows, name)
        if rows < least:
            errors.append(f"{rows} rows, at least {least} are wanted (min_rows.{name}): {explain_empty(stats)}")
        elif not rows:
            notes.append(f"the export is empty: {explain_empty(stats)}")
    return Validation(passed=not errors, errors=errors, warnings=notes)


def _too_many_skipped(config: Config, stats: Stats) -> list[str]:
    allowed = config.max_skipped * stats.considered if 0 < config.max_skipped < 1 else config.max_skipped
    if stats.skipped <= allowed:
        return []
    reasons = " ".join(f"{slug}={n}" for slug, n in stats.reasons.items())
    found = f"{stats.skipped} of {stats.considered} records could not be read ({reasons}), max_skipped is {config.max_skipped:g}"
    return [f"{found}; see exports/quarantine/collect.jsonl, repair the logs or raise max_skipped"]


def explain_empty(stats: Stats) -> str:
    """Return why an export has so few rows, and what to do next."""
    if not stats.considered:
        return "there are no runs; check the globs of the sources"
    slug, count = max(stats.reasons.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    if not slug:
        return f"{stats.considered} {stats.unit}s were considered"
    way_out = {
        "review": "map a verdict, or have them reviewed",
        "fix_config": "change the settings",
        "fix_source": "repair the logs",
        "none": "collect runs with another outcome",
    }[action_of(slug)]
    return f"of {stats.considered} {stats.unit}s {count} are {slug} ({meaning_of(slug)}); {way_out}"
