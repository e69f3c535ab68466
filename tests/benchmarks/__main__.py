"""The benchmark suite: `python -m tests.benchmarks` runs all of it, each section rewrites its place in reports/benchmarks.md.

Peers and builders that are not installed are left out and named: `pip install datatrove datasets polars duckdb dvc snakemake`, into
an environment of their own, because they bring a hundred packages. Nothing here is part of the tests.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.cpu import write_cpu
from tests.benchmarks.mapped import write_mapped
from tests.benchmarks.noop import write_noop
from tests.benchmarks.rebuild import write_rebuild
from tests.benchmarks.work import Order, write_memory, write_million, write_whole, write_work

SECTIONS: dict[str, Callable[[Order], None]] = {
    "work": write_work,
    "million": write_million,
    "whole": write_whole,
    "memory": write_memory,
    "rebuild": write_rebuild,
    "noop": write_noop,
    "cpu": write_cpu,
    "mapped": write_mapped,
}
"""In the order they are run."""


def main(arguments: list[str]) -> None:
    """Run the sections asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all when none is named")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the corpus (100000); `million` takes ten times as many")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in turn (3)")
    parser.add_argument("--sizes", default="100000,1000000", help="rows of the corpora of `memory` (100000,1000000)")
    parser.add_argument("--base", type=Path, help="existing folder on the disk to be measured; default: the system's for temporary files")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}, expected one of {', '.join(SECTIONS)}")
    sizes = tuple(int(size) for size in given.sizes.split(","))
    for name in given.sections or SECTIONS:
        with tempfile.TemporaryDirectory(dir=given.base) as folder:
            amount = f"--sizes {given.sizes}" if name == "memory" else f"--rows {given.rows} --rounds {given.rounds}"
            SECTIONS[name](Order(Path(folder), given.rows, given.rounds, sizes, f"python -m tests.benchmarks {name} {amount}"))


if __name__ == "__main__":
    main(sys.argv[1:])
