"""The same graph for DVC and Snakemake, with the stages of `tests.benchmarks.staged`: collect and score per file, exports over all.

A file that changed makes them run collect and score of that file and both exports; below a file they know nothing.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.measuring import Measure, run_measured

__all__ = ["BUILDERS", "SEVEN", "build_with", "make_builder", "make_seven"]

BUILDERS = ("dvc", "snakemake")
_COMMANDS = {"dvc": ("-m", "dvc", "repro", "--quiet"), "snakemake": ("-m", "snakemake", "--cores", "2", "--quiet", "all")}
_STAGE = f"{sys.executable} -m tests.benchmarks.staged"
SEVEN = (
    ("collect", ["a"], "b"), ("score", ["b"], "c"), ("extract_playbooks", ["b", "c"], "d"), ("export_rag", ["b", "c", "d"], "e"),
    ("export_sft", ["b", "c"], "f"), ("export_preference", ["b", "c"], "g"), ("index", ["e"], "h"),
)  # fmt: skip
"""The stages of the pipeline: name, what it reads, what it writes."""

Rule = tuple[str, list[str], str, str]
"""Name, files read, file written, command."""


def _environment(folder: Path) -> dict[str, str]:
    """Return where the builders may keep what they keep outside a project, and that they ask nobody for news."""
    home = str(folder / "home")
    return {"HOME": home, "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home, "DVC_SITE_CACHE_DIR": home, "DVC_NO_ANALYTICS": "1"}


def build_with(tool: str, folder: Path, *, memory: bool = False) -> Measure:
    """Let a builder bring everything up to date."""
    return run_measured([sys.executable, *_COMMANDS[tool]], folder, env=_environment(folder), memory=memory)


def _graph(logs: Iterable[Path]) -> list[Rule]:
    names = sorted(path.name for path in logs)
    rules: list[Rule] = []
    for name in names:
        log, evidence, scored = f"logs/{name}", f"evidence/{name}", f"scored/{name}"
        stem = name.removesuffix(".jsonl").replace("-", "_")
        rules += [
            (f"collect_{stem}", [log], evidence, f"{_STAGE} collect {log} {evidence}"),
            (f"score_{stem}", [evidence], scored, f"{_STAGE} score {evidence} {scored}"),
        ]
    every = [f"{kind}/{name}" for kind in ("evidence", "scored") for name in names]
    exports = (("sft", "exports/sft.jsonl"), ("preference", "exports/pairs.jsonl"))
    return rules + [(f"export_{name}", every, out, f"{_STAGE} {name} evidence scored {out}") for name, out in exports]


def make_builder(tool: str, folder: Path) -> Path:
    """Make a project of a builder around the `logs` that are in the folder."""
    for name in ("evidence", "scored", "exports"):
        (folder / name).mkdir()
    return _write(tool, folder, _graph((folder / "logs").iterdir()))


def make_seven(tool: str, folder: Path) -> Path:
    """Make a project of seven stages that do nothing but write a file."""
    folder.mkdir()
    (folder / "a").write_text("a")
    return _write(tool, folder, [(name, needs, makes, f"echo {makes} > {makes}") for name, needs, makes in SEVEN])


def _write(tool: str, folder: Path, rules: list[Rule]) -> Path:
    (folder / "home").mkdir()
    if tool == "dvc":
        stages = {name: {"cmd": command, "deps": needs, "outs": [makes]} for name, needs, makes, command in rules}
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1))
        env = _environment(folder)
        for line in (["init", "--no-scm", "--quiet"], ["config", "core.analytics", "false"], ["config", "core.check_update", "false"]):
            run_measured([sys.executable, "-m", "dvc", *line], folder, env=env)
    else:
        text = [f"rule all:\n    input: {[makes for _, _, makes, _ in rules]}\n"]
        text += [
            f"rule {name}:\n    input: {needs}\n    output: {makes!r}\n    shell: {command!r}\n" for name, needs, makes, command in rules
        ]
        (folder / "Snakefile").write_text("\n".join(text))
    return folder
