"""A project in a temporary folder, and doit run on it the way a person runs it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["CONFIG", "DODO", "SFT_LEAK", "STAGE_NAMES", "Project", "Result", "many_outcomes", "outcome", "review", "sample_project"]

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
DODO = "from distill.build.tasks import DOIT_CONFIG, task_pipeline\n"
STAGE_NAMES = ("collect", "score", "extract-playbooks", "export-rag", "export-sft", "export-preference", "index")
SFT_LEAK = """
from distill.stages import export_sft


def keep_out(one, config):
    return None if one.category == 'rejected' else strict(one, config)


def spread(one, lines, config, part):
    export_sft.keep_out = keep_out
    try:
        return honest.spread(one, lines, config, part)
    finally:
        export_sft.keep_out = strict


strict = export_sft.keep_out
planted = honest._replace(hopeless=frozenset(), keep_out=keep_out, spread=spread)
"""
"""Plant for `units.export_sft:EXPORT` that exports rejected runs."""
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
        self.write("dodo.py", DODO)
        self.write("doit.cfg", _DOIT_CFG)
        self.write("distill.toml", config)

    def copy(self, folder: Path) -> "Project":
        """Return a copy of the project in another folder, with everything it built."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(Project)
        other.folder = folder
        return other

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
            subprocess.run(command, cwd=self.folder, env=self.environment(env), capture_output=True, text=True, timeout=300, check=False)
        )

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start doit and do not wait, to kill it or to run beside it."""
        return subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def runs(self) -> list[str]:
        """Ids of the runs added, in the order of the ledger."""
        ledger = self.folder / "reports/distillation/ledger.jsonl"
        lines = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
        return [line["run_id"] for line in lines if line["kind"] == "run"]

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """The lines of the ledger."""
        return self.rows("reports/distillation/ledger.jsonl")

    @property
    def targets(self) -> list[str]:
        """Every target of the newest full build, from the receipts of the newest run."""
        return [file["path"] for receipt in self.receipts().values() for file in receipt["outputs"]["files"]]

    def receipts(self, *, run: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the receipts of a run by stage, by default the newest."""
        folder = self.folder / "reports/distillation" / (run or self.runs[-1])
        return {name: json.loads((folder / f"{name}.json").read_text()) for name in STAGE_NAMES if (folder / f"{name}.json").exists()}

    def held(self, kind: str) -> list[str]:
        """Return the files held aside as tampered, leaked or stale, without the run that moved them."""
        base = self.folder / "data/held" / kind
        return sorted("/".join(path.relative_to(base).parts[1:]) for path in base.rglob("*") if path.is_file())

    def plant(self, place: str, body: str) -> None:
        """Let dodo.py put `planted`, which may use `honest`, in a place while a file `planted` is there.

        A place is `module:name` below `distill`, or the module of a stage, whose `run` is meant; of collect, what its units call too.
        """
        if place == "collect":
            self.write("dodo.py", f"{PLANTED_COLLECT}{DODO}\n{body}\n")
            self.write("planted", "")
            return
        module, _, name = place.partition(":")
        module, name = (module, name) if name else (f"stages.{module}", "run")
        head = f"import os\nimport time\nimport msgspec\nimport distill.{module} as stage\n{DODO}\nhonest = stage.{name}\n"
        loop = {"render_pair": "_COMPILED", "playbook_outcome": "_GROUPS"}.get(name)
        compiled = f"    stage.{loop} = None\n" if loop else ""  # the compiled loop would pass it by
        self.write("dodo.py", f"{head}\n{body}\nif os.path.exists('planted'):\n    stage.{name} = planted\n{compiled}")
        self.write("planted", "")

    def repair(self) -> None:
        """Take a plant away as a change of the code would: what was made by the code before it is not taken over."""
        (self.folder / "planted").unlink()
        shutil.rmtree(self.folder / ".distill/parts")

    def tree(self) -> dict[str, tuple[bytes, int]]:
        """Return every file but those of the build's own store, with bytes and time of change."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and ".distill" not in path.parts]
        return {path.relative_to(self.folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def temporaries(self) -> list[str]:
        """Return the temporary files that lie about."""
        return [path.as_posix() for path in self.folder.rglob("*distill-tmp*")]

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Return what the build's own store says."""
        with closing(sqlite3.connect(self.folder / ".distill/store.sqlite")) as base:
            return list(base.execute(sql, values))

    def replace_text(self, path: str, old: str, new: str) -> None:
        """Replace text in a file that must hold it."""
        text = (self.folder / path).read_text()
        assert old in text, f"{path} does not hold {old!r}"
        (self.folder / path).write_text(text.replace(old, new))

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


PLANTED_COLLECT = """import os
import time
import distill.stages.collect as stage

collect = stage.Collector.collect


def call_planted(self, logs):
    global honest
    honest = lambda logs, config: collect(self, logs)
    return planted(logs, self._config)


if os.path.exists('planted'):
    stage.Collector.collect = call_planted
    stage.Collector.plain = lambda self, log: None  # every row goes through the plant
"""


def outcome(run_id: str | None, **fields: Any) -> dict[str, Any]:
    """Return a row of the native log `outcomes`: by default one that passed its tests."""
    row = {
        "run_id": run_id, "task_id": "task-1", "created_at": "2026-04-27T09:00:00Z", "model": "model-a", "prompt": "Add two numbers.",
        "response": f"answer of {run_id}", "tests": {"passed": 3, "failed": 0},
    }  # fmt: skip
    return row | fields


def review(run_id: str | None, verdict: str, **fields: Any) -> dict[str, Any]:
    """Return a row of the native log `scrum_reviews`: a person's verdict without the answer."""
    row = {
        "run_id": run_id,
        "task_id": "task-1",
        "created_at": "2026-04-27T10:00:00Z",
        "reviewer": "human:reviewer-1",
        "verdict": verdict,
    }
    return row | fields


_WRONG = {"passed": 1, "failed": 2}


def sample_project(folder: Path, *, config: str = CONFIG) -> Project:
    """Return a project, not built yet, whose six runs meet every export and every verdict."""
    project = Project(folder, config=config)
    project.log(
        "2026/04/27/outcomes.jsonl",
        [
            outcome("run-1"), outcome("run-2", response="a wrong answer to the first task", tests=_WRONG),
            outcome("run-3", task_id="task-2", prompt="Sort a list.", attempts=2),
            outcome("run-4", task_id="task-2", prompt="Sort a list.", response="a wrong answer to the second task", tests=_WRONG),
            outcome("run-5", task_id="task-3", prompt="Name a colour.", tests=None),
        ],
    )  # fmt: skip
    project.log("2026/04/28/outcomes.jsonl", [outcome("run-6", task_id="task-4", prompt="Parse a date.")])
    project.log("2026/04/27/scrum_reviews.jsonl", [review("run-5", "accept_with_changes", task_id="task-3", corrected_response="green")])
    return project


def many_outcomes(count: int) -> list[dict[str, Any]]:
    """Return runs of tasks of four, half of which failed their tests."""
    return [
        outcome(
            f"run-{number}", task_id=f"task-{number // 4}", prompt=f"Solve problem {number // 4}.", model=f"model-{number % 2}",
            response=f"answer {number} " + "with some words " * 8, tests=_WRONG if number % 2 else {"passed": 3, "failed": 0},
        )
        for number in range(count)
    ]  # fmt: skip
