"""A project in a temporary folder, and doit run on it the way a person runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["CONFIG", "Project", "Result", "outcome", "review"]

CONFIG = """
[[sources]]
name = "outcomes"
root = "logs"
glob = "**/outcomes*.jsonl"
format = "outcomes"
partition_prefix = ""

[[sources]]
name = "scrum_reviews"
root = "logs"
glob = "**/scrum_reviews*.jsonl"
format = "scrum_reviews"
partition_prefix = ""
optional = true
"""
_DODO = "from distill.build.tasks import DOIT_CONFIG, task_pipeline\n"
_DOIT_CFG = "[COMMAND]\nrun = distill.build.command:Run\n"


class Result:
    """What a command did."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        """Keep its exit status and what it said."""
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = done.stdout + done.stderr

    @property
    def executed(self) -> list[str]:
        """Tasks whose action was called, in order."""
        return [line[3:] for line in self.out.splitlines() if line.startswith(".  ")]


class Project:
    """One project folder."""

    def __init__(self, folder: Path, *, config: str = CONFIG) -> None:
        """Make the folder, with dodo.py, doit.cfg and distill.toml."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.write("dodo.py", _DODO)
        self.write("doit.cfg", _DOIT_CFG)
        self.write("distill.toml", config)

    def write(self, path: str, content: str | bytes) -> Path:
        """Write one file below the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def log(self, path: str, rows: Iterable[Mapping[str, Any] | bytes | str]) -> Path:
        """Write a log below `logs/`; rows that are bytes or text stand as they are."""
        lines = [row if isinstance(row, bytes) else row.encode() if isinstance(row, str) else json.dumps(row).encode() for row in rows]
        return self.write(f"logs/{path}", b"".join(line + b"\n" for line in lines))

    def command(self, *words: str, env: Mapping[str, str] | None = None, module: str = "doit") -> list[str]:
        """Return the command line of `doit` (or `distill`)."""
        return [sys.executable, "-m", module, *words]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command, without settings of the caller's own."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("DISTILL_")}
        return own | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(env or {})

    def doit(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Run doit to its end."""
        return self._run(self.command(*words), env)

    def distill(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Run the console script to its end."""
        return self._run(self.command(*words, module="distill"), env)

    def _run(self, command: list[str], env: Mapping[str, str] | None) -> Result:
        return Result(
            subprocess.run(  # noqa: S603 -- our own command
                command, cwd=self.folder, env=self.environment(env), capture_output=True, text=True, timeout=300, check=False
            )
        )

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start doit and do not wait, to kill it or to run beside it."""
        return subprocess.Popen(  # noqa: S603 -- our own command
            self.command(*words), cwd=self.folder, env=self.environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def runs(self) -> list[str]:
        """Ids of the runs added, in the order of the ledger."""
        ledger = self.folder / "reports/distillation/ledger.jsonl"
        lines = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
        return [line["run_id"] for line in lines if line["kind"] == "run"]

    def document(self, name: str, *, run: str | None = None) -> dict[str, Any]:
        """Return one document of a run, by default the newest."""
        folder = self.folder / "reports/distillation" / (run or self.runs[-1])
        found: dict[str, Any] = json.loads((folder / name).read_text())
        return found

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of a JSON Lines file."""
        return [json.loads(line) for line in (self.folder / path).read_text().splitlines()]

    def data_files(self) -> dict[str, bytes]:
        """Return every data file and its bytes; what is held aside is not among them."""
        found: dict[str, bytes] = {}
        for name in ("data", "exports"):
            for path in sorted((self.folder / name).rglob("*")):
                if path.is_file() and "held" not in path.parts:
                    found[path.relative_to(self.folder).as_posix()] = path.read_bytes()
        return found


def outcome(run_id: str | None, **fields: Any) -> dict[str, Any]:
    """Return a row of the native log `outcomes`: by default one that passed its tests."""
    row = {
        "run_id": run_id, "task_id": "task-1", "created_at": "2026-04-27T09:00:00Z", "model": "model-a", "prompt": "Add two numbers.",
        "response": f"answer of {run_id}", "tests": {"passed": 3, "failed": 0},
    }  # fmt: skip
    return row | fields


def review(run_id: str | None, verdict: str, **fields: Any) -> dict[str, Any]:
    """Return a row of the native log `scrum_reviews`: a person's verdict without the answer."""
    row = {"run_id": run_id, "task_id": "task-1", "created_at": "2026-04-27T10:00:00Z", "reviewer": "human:reviewer-1", "verdict": verdict}
    return row | fields
