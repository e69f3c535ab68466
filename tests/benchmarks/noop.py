"""A no-op `doit` against a bare doit project of the same graph, in turn, on this machine.

`python -m tests.benchmarks.noop [RUNS]` prints medians and the ratio; the sample is what the pipeline ran on.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_BARE = """
GRAPH = [("collect", ["a"], ["b"]), ("score", ["b"], ["c"]), ("extract_playbooks", ["b", "c"], ["d"]), ("export_rag", ["b", "c", "d"], ["e"]),
         ("export_sft", ["b", "c"], ["f"]), ("export_preference", ["b", "c"], ["g"]), ("index", ["e"], ["h"]),
         ("summary", ["e", "f", "g", "h"], ["i"])]


def write(targets):
    for target in targets:
        open(target, "w").write(target)


def task_graph():
    for name, needs, makes in GRAPH:
        yield {"basename": name, "actions": [(write, [makes])], "file_dep": needs, "targets": makes}
"""


def _time(folder: Path) -> float:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE" and not key.startswith("DISTILL_")}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "doit"], cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    """Measure both in turn, so that a slow moment of the machine hits both."""
    with tempfile.TemporaryDirectory() as name:
        ours, bare = Path(name) / "ours", Path(name) / "bare"
        bare.mkdir()
        shutil.copytree(_ROOT / "fixtures/sample", ours / "fixtures/sample")
        for file in ("dodo.py", "pyproject.toml"):
            shutil.copy(_ROOT / file, ours / file)
        (bare / "dodo.py").write_text(_BARE)
        (bare / "a").write_text("a")
        for folder in (ours, bare):
            first = _time(folder)
            print(f"{folder.name}: first run {first:.2f} s")
        time.sleep(1)
        for folder in (ours, bare):
            _time(folder)
        pairs = [(_time(ours), _time(bare)) for _ in range(runs)]
    own, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(one / two for one, two in pairs)
    print(f"no-op, median of {runs}: ours {own * 1000:.0f} ms, bare doit {plain * 1000:.0f} ms, ratio pair by pair {ratio:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
