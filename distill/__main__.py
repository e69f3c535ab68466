"""The console script `distill` (SPEC 8): run-all, read, runs, search, init, preview."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from distill.errors import ConfigError, DistillError
from distill.times import BadTime, parse_time

__all__ = ["main"]

_APP = typer.Typer(add_completion=False, no_args_is_help=True, help="Audited training data out of the run logs of LLM agents.")


@_APP.command("run-all")
def run_all(
    recorded_at: Annotated[str | None, typer.Option(help="Time to write as recorded_at of every record.")] = None,
) -> None:
    """Run the whole pipeline, as `doit` does."""
    from distill.build.command import run_doit  # noqa: PLC0415 -- only this command needs doit

    if recorded_at is not None:
        try:
            os.environ["DISTILL_RECORDED_AT"] = parse_time(recorded_at, None)
        except BadTime as err:
            raise ConfigError([f"--recorded-at: {err}"]) from err
    if not Path("dodo.py").exists():
        raise ConfigError(["dodo.py: not here; start distill in the folder of a project"])
    raise typer.Exit(run_doit())


@_APP.command()
def read(
    run_id: Annotated[str | None, typer.Option(help="A run of the pipeline; by default the latest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the documents as one JSON object.")] = False,  # noqa: FBT002
) -> None:
    """Show the summary of a run; for the id of a run in a log, what became of it."""
    from distill.report.reading import read_log_run, read_pipeline_run  # noqa: PLC0415 -- only this command needs it

    project = Path.cwd()
    text = read_pipeline_run(project, run_id, as_json=as_json)
    if text is None and run_id is not None:
        text = read_log_run(project, run_id, as_json=as_json)
    if text is None:
        raise ConfigError([f"no run {run_id!r} is known, neither of the pipeline nor in a log; `distill runs` lists the pipeline's"])
    sys.stdout.write(text)


@_APP.command()
def runs() -> None:
    """List the runs that were added, newest last."""
    from distill.report.reading import list_runs  # noqa: PLC0415 -- only this command needs it

    sys.stdout.write(list_runs(Path.cwd()))


@_APP.command()
def search(words: list[str], limit: Annotated[int, typer.Option(help="Documents to show.")] = 10) -> None:
    """Search the playbooks and accepted runs for all the words."""
    from distill.report.reading import search_project  # noqa: PLC0415 -- only this command needs it

    sys.stdout.write(search_project(Path.cwd(), " ".join(words), limit=limit))


@_APP.command()
def init(folder: Annotated[str | None, typer.Argument(help="A folder of logs to propose sources for.")] = None) -> None:
    """Make this folder a project: distill.toml, dodo.py and doit.cfg."""
    from distill.onboarding.init import init_project  # noqa: PLC0415 -- only this command needs it

    sys.stdout.write(init_project(Path.cwd(), folder).text)


@_APP.command()
def preview(
    target: Annotated[str, typer.Argument(help="A source of the config, or a glob of logs, which needs no config.")],
    records: Annotated[int, typer.Option(min=1, help="Records to read, spread over the files.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002
) -> None:
    """Show what logs would give, from a sample of them; nothing is written."""
    from distill.onboarding.asking import preview_target  # noqa: PLC0415 -- only this command needs it

    sys.stdout.write(preview_target(Path.cwd(), target, records=records, as_json=as_json))


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; exit 0 passed, 1 ran and did not pass, 2 could not run."""
    try:
        _APP(args=arguments, prog_name="distill")
    except (DistillError, OSError) as err:
        sys.stderr.write(f"{err}\n")
        raise SystemExit(2) from err


if __name__ == "__main__":
    main()
