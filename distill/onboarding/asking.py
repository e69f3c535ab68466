"""What `distill preview` was asked for: a source of the config, or the files of a glob (SPEC 8)."""

import glob
import os
import tempfile
import tomllib
from difflib import get_close_matches
from pathlib import Path

from distill.config import Config, Source
from distill.config_file import build_config, load_config
from distill.errors import ConfigError
from distill.hashing import hash_file
from distill.jsonl import encode_document
from distill.onboarding.compose import Proposed, propose_sources
from distill.onboarding.documents import Preview, Previews
from distill.onboarding.init import find_unread
from distill.onboarding.page import render_preview
from distill.onboarding.preview import build_preview, describe_sample, read_sample
from distill.onboarding.sniff import survey_files
from distill.onboarding.values import tell_values
from distill.plan import build_plan
from distill.units.sides import prepare_sides

__all__ = ["preview_target"]


def preview_target(project: Path, target: str, *, records: int, as_json: bool) -> str:
    """Return the page, or the JSON document, of a source or of the sources the files of a glob would be.

    Raises:
        ConfigError: it is neither, or the config is wrong.
    """
    config = _load(project)
    source = next((source for source in config.sources if source.name == target), None) if config else None
    if config is not None and source is not None:
        previews = [_preview(project, source, config, records, None)]
    else:
        previews = _preview_glob(project, target, config, records)
    if as_json:
        return encode_document(Previews(sources=previews)).decode()
    return "\n".join(render_preview(preview) for preview in previews)


def _load(project: Path) -> Config | None:
    """Return the config where there is one; a wrong one is told, none at all is fine."""
    own, shared = project / "distill.toml", project / "pyproject.toml"
    if own.exists() or (shared.exists() and "[tool.distill" in shared.read_text(encoding="utf-8", errors="replace")):
        try:
            return load_config(project)
        except ConfigError as err:
            raise tell_values(project, err) from err
    return None


def _preview(project: Path, source: Source, config: Config, records: int, proposal: str | None) -> Preview:
    own = config._replace(sources=(source,))
    plan = build_plan(project, own)
    sizes = tuple((project / log.file.path).stat().st_size for log in plan.logs)
    digests = {ref.recorded: hash_file(project / ref.path).blake3 for ref in plan.sides}
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_sides(project, own, digests, folder=Path(folder))
        sample = read_sample(project, own, plan.logs, records=records, prepared=prepared)
    sample.warnings.update(prepared.warnings)
    return build_preview(source, sample, sizes=sizes, proposal=proposal)


def _preview_glob(project: Path, target: str, config: Config | None, records: int) -> list[Preview]:
    """Return what the files of a glob would give with the mapping proposed for them."""
    matched = sorted(name for name in glob.glob(target, root_dir=project, recursive=True) if (project / name).is_file())  # noqa: PTH207 -- as the plan does
    if not matched:
        raise ConfigError([_nothing(target, config)])
    folder = os.path.commonpath([os.path.dirname(name) for name in matched])  # noqa: PTH120 -- of texts
    place = project / folder
    survey = survey_files(place, [os.path.relpath(project / name, place).replace(os.sep, "/") for name in matched])
    if not survey.groups:
        raise ConfigError([f"{target}: no log was recognised", *(f"{name}: {why}" for name, why in survey.left[:10])])
    ignore = find_unread(project, place, folder or ".", survey)
    return [_proposed(project, one, records) for one in propose_sources(place, folder or ".", survey, ignore=ignore)]


def _proposed(project: Path, proposed: Proposed, records: int) -> Preview:
    """Return what a proposed source would give; of one without a field, what its records hold."""
    if proposed.is_mapped:
        config = build_config(tomllib.loads(proposed.text), path="the proposal", environ={})
        return _preview(project, config.sources[0], config, records, proposed.text)
    source = Source(name=proposed.name, glob="")
    return build_preview(source, describe_sample(proposed.group.catalog), sizes=(0,) * len(proposed.files), proposal=proposed.text)


def _nothing(target: str, config: Config | None) -> str:
    names = [source.name for source in config.sources] if config else []
    close = get_close_matches(target, names, n=1)
    known = f"; did you mean the source {close[0]!r}" if close else f"; sources: {', '.join(names)}" if names else ""
    return f"{target!r} is no source of the config, and no file matches it here{known}"
