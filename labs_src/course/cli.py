"""The `labs` command: one function per target of the Makefile. The rest of the room is entered only when called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The interpretability workbook: run its labs, test them, work on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: half the time to print it
)

Only = Annotated[list[str] | None, typer.Option("--only", help="A lab's two digits; may be given more than once.")]


@app.command()
def run(
    only: Only = None,
    tier: Annotated[str, typer.Option(help="mini (shipped models, CPU) or gemma.")] = "mini",
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time; by default as many as cores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the report goes; by default build/report.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each notebook.")] = 900,
    cell_timeout: Annotated[float | None, typer.Option(min=1, help="Seconds for each cell.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Execute again what a former run finished.")] = False,
) -> None:
    """Execute every lab and report each number against what is expected."""
    from labs_src.course.run import run as run_labs

    ok = run_labs(only, tier=tier, jobs=jobs, out=out, timeout=timeout, cell_timeout=cell_timeout, fresh=fresh)
    raise typer.Exit(0 if ok else 1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run all tests, and every notebook against its stored outputs. Further arguments go to pytest."""
    from labs_src.course.testing import run_tests

    raise typer.Exit(run_tests(context.args))


@app.command()
def lab(
    only: Only = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    port: Annotated[int, typer.Option(help="Of the server; the next free one if it is taken.")] = 8888,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Start JupyterLab after making the copies.")] = True,
) -> None:
    """Make your own copies of the labs in work/ (never overwriting yours) and open JupyterLab."""
    from labs_src.course.server import open_lab

    raise typer.Exit(open_lab(only, browser=browser, port=port, serve=serve))


@app.command()
def notebooks(
    only: Only = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take new expected values even where they moved.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say which notebooks are stale.")] = False,
) -> None:
    """Build the executed notebooks from notebooks/source/."""
    from labs_src.course.catalogue import select

    if check:
        from labs_src.course.freshness import freshness

        problems = [problem for lab in select(only) for problem in freshness(lab)]
        for problem in problems:
            typer.echo(problem, err=True)
        raise typer.Exit(1 if problems else 0)
    from labs_src.course.build import build

    build(only, accept=accept, jobs=jobs)


@app.command()
def models(
    wanted: Annotated[list[str] | None, typer.Argument(help="Names of models; all when none is given.")] = None,
    ship: Annotated[bool, typer.Option("--ship", help="Replace what is in data/models by the new ones.")] = False,
) -> None:
    """Train every shipped model again from its recipe and compare it with what is shipped."""
    from labs_src.course.errors import Problem
    from labs_src.models.recipes import build, recipes

    if unknown := set(wanted or []) - set(recipes()):
        raise Problem(f"There is no recipe for {', '.join(sorted(unknown))}. There are: {', '.join(recipes())}.")
    ok = all(result.ok for result in build(wanted or None, ship=ship))
    raise typer.Exit(0 if ok else 1)


@app.command()
def progress() -> None:
    """Show which exercises are solved, with points and hints used."""
    from labs_src.course.progress import show

    show()


@app.command()
def doctor() -> None:
    """Say what is installed, and which labs can run on which tier."""
    from labs_src.course.doctor import report

    raise typer.Exit(report() or 0)


@app.command()
def new(slug: Annotated[str, typer.Argument(help="Such as 15_topic.")]) -> None:
    """Make the skeleton of a new lab."""
    from labs_src.course.new import create

    create(slug)


@app.command()
def lock() -> None:
    """Pin the dependencies again (needs uv)."""
    from labs_src.course.lock import lock as pin

    raise typer.Exit(pin() or 0)


def main() -> None:
    """Run the command line; a problem that a person can put right is one line on stderr."""
    from labs_src.course.errors import Problem, is_disk_full

    try:
        app()
    except Problem as problem:
        print(f"labs: {problem}", file=sys.stderr)
        sys.exit(problem.code)
    except OSError as error:
        if not is_disk_full(error):
            raise
        where = error.filename or "while writing"
        print(f"labs: the disk is full ({where}). Free some space and repeat.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
