"""The `labs` command: one function per target of the Makefile. The rest of the room is entered only when called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


Course = Annotated[Path, typer.Option("--course", help="The class's folder: gradebook, releases, submissions.")]
Labs = Annotated[list[str] | None, typer.Option("--lab", help="A lab's two digits; may be given more than once.")]
Gradebook = Annotated[str | None, typer.Option(help="Database URL; by default SQLite in the class's folder.")]
CLASS = Path("class")


@app.command()
def release(
    labs: Annotated[list[str] | None, typer.Argument(help="Two digits each; all labs when none is given.")] = None,
    course: Course = CLASS,
    due: Annotated[str | None, typer.Option(help="Deadline, such as 2026-12-04T17:00 (your time).")] = None,
    gradebook: Gradebook = None,
) -> None:
    """Make students' versions of labs: no solutions, no outputs."""
    from labs_src.course.grading.commands import release as make

    make(labs or (), course, due, gradebook)


@app.command()
def students(
    target: Annotated[Path, typer.Argument(help="The zip to write.")] = Path("dist/students.zip"),
) -> None:
    """Pack the course without its solutions, for students to install."""
    from labs_src.course.folders import shown
    from labs_src.course.grading.students import pack

    print(f"{shown(pack(target.resolve()))}: for students; the notebooks go out with labs release.")


@app.command()
def grade(
    handed_in: Annotated[list[Path] | None, typer.Argument(help="Folders or zips; none: grade again.")] = None,
    lab: Labs = None,
    course: Course = CLASS,
    feedback: Annotated[bool, typer.Option("--feedback", help="Write the students' pages too.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="At a time; by default as many as cores.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what is graded already.")] = False,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Run students' code without a sandbox.")] = False,
    probe: Annotated[bool, typer.Option("--probe", help="Only say what this machine can enforce.")] = False,
    gradebook: Gradebook = None,
) -> None:
    """Take submissions in, run them in a sandbox, and put the marks into the gradebook."""
    from labs_src.course.grading import commands

    if probe:
        raise typer.Exit(0 if commands.probe() else 1)
    options = {"jobs": jobs, "unsafe": unsafe, "fresh": fresh, "gradebook": gradebook, "with_feedback": feedback}
    ok = commands.grade(handed_in or [], course, lab or (), **options)
    raise typer.Exit(0 if ok else 1)


@app.command()
def feedback(
    student: Annotated[list[str] | None, typer.Argument(help="Students; all when none is given.")] = None,
    lab: Labs = None,
    course: Course = CLASS,
    gradebook: Gradebook = None,
) -> None:
    """Write a page for each student, with what was graded by hand since."""
    from labs_src.course.grading.commands import feedback as write

    write(course, lab or (), student or (), gradebook)


@app.command()
def forget(
    student: Annotated[str, typer.Argument(help="As in the gradebook, or as the folder or file was called.")],
    labs: Annotated[list[str] | None, typer.Argument(help="Two digits each; everything when none is given.")] = None,
    course: Course = CLASS,
    force: Annotated[bool, typer.Option("--force", help="Even if points or comments were given by hand.")] = False,
) -> None:
    """Take out what was handed in by mistake; its files are moved, none is deleted."""
    from labs_src.course.grading.commands import forget as take_out

    take_out(course, student, labs or (), force)


@app.command()
def similar(
    lab: Labs = None,
    course: Course = CLASS,
    above: Annotated[float | None, typer.Option(min=0, max=1, help="List pairs from here on.")] = None,
) -> None:
    """List pairs of submissions that are suspiciously alike."""
    from labs_src.course.grading.commands import similar as compare

    compare(course, lab or (), above)


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
def table(
    layer: Annotated[int, typer.Option(min=0, help="From 0.")],
    head: Annotated[int, typer.Option(min=0, help="Query head, from 0.")],
    kind: Annotated[str, typer.Option(help="qk (where it looks) or ov (what it writes).")] = "qk",
    model: Annotated[str, typer.Option(help="A model that comes with dictionaries.")] = "mini-gemma",
    k: Annotated[int, typer.Option("-k", min=1, help="Rows.")] = 20,
    end: Annotated[str, typer.Option(help="size (largest absolute values), top or bottom.")] = "size",
    distance: Annotated[int, typer.Option(min=0, help="How far back the key stands (qk).")] = 0,
    cross: Annotated[bool, typer.Option("--cross", help="Only pairs of two different features (qk).")] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write it there.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Also write it there.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it there: a page that searches and sorts.")] = None,
) -> None:
    """Print the strongest feature pairs of a head, read from its weights."""
    from labs_src.circuits.show_table import show

    files = {".csv": csv, ".parquet": parquet, ".html": html}
    with _one_line():
        if wrong := [
            f"{path} should end in {ending}" for ending, path in files.items() if path and path.suffix != ending
        ]:
            raise ValueError("; ".join(wrong))
        written = [path for path in files.values() if path]
        show(model, layer, head, kind, k=k, end=end, distance=distance, cross=cross, files=written)


@app.command()
def sweep(
    model: Annotated[str, typer.Option(help="A model that comes with dictionaries.")] = "mini-gemma",
    out: Annotated[Path, typer.Option(help="A folder; what a former sweep left there is not made again.")] = Path(
        "build/tables"
    ),
    k: Annotated[int, typer.Option("-k", min=1, help="Entries of each end of a table.")] = 100,
    layer: Annotated[list[int] | None, typer.Option("--layer", help="May be given more than once; else all.")] = None,
) -> None:
    """Make both tables of every head of a model; killed, it goes on where it was."""
    from labs_src.circuits.show_table import run_sweep

    with _one_line():
        run_sweep(model, out, k, layer or ())


@contextmanager
def _one_line() -> Iterator[None]:
    """What a room of the package cannot do, as a line instead of a traceback."""
    from labs_src.course.errors import Problem

    try:
        yield
    except (ValueError, RuntimeError) as problem:
        raise Problem(str(problem)) from None


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
