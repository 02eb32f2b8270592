"""Feedback: a page for each student and lab. What was right, what was not and why, what to read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab, labs
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.prose import rendered
from labs_src.course.grading.sheet import Sheet, sheet


def write(
    classroom: ClassFolder,
    only: Sequence[Lab],
    students: Sequence[str] = (),
    results: Iterable[Any] | None = None,
) -> list[Path]:
    """Write the pages of everything that has been graded into nbgrader's feedback tree.

    Args:
        classroom: The class.
        only: Labs.
        students: Gradebook ids; all when empty.
        results: What grading stored; read from the class by default.

    Returns:
        The pages.

    Raises:
        Problem: Nothing has been graded yet.
    """
    if results is None:
        from labs_src.course.grading import store

        results = store.load(classroom.root)
    by_lab = {lab.id: lab for lab in only}
    chosen = [r for r in results if r.lab in by_lab and (not students or r.student in students)]
    if not chosen:
        raise Problem("Nothing has been graded yet that this asks for. First: labs grade DIR")
    pages = []
    for result in chosen:
        lab = by_lab[result.lab]
        folder = classroom.feedback / result.student / lab.slug
        write_atomically(folder / f"{lab.slug}.html", render(sheet(classroom, lab, result)))
        for_release(classroom, result.student, lab.slug)
        pages.append(folder / f"{lab.slug}.html")
    return pages


def for_release(classroom: ClassFolder, student: str, slug: str) -> None:
    """Put beside a page the two files without which `nbgrader release_feedback` stops.

    What the exchange gave is copied; for work that came another way the secret is made from the class's own, so that a
    page released twice is one file in the exchange.
    """
    from labs_src.course.grading.store import Store

    made = hashlib.sha256(f"{Store(classroom.root).seed()}/feedback/{slug}/{student}".encode()).hexdigest()
    for name, otherwise in (("timestamp.txt", ""), ("submission_secret.txt", made)):
        handed_in = classroom.submitted / student / slug / name
        data = handed_in.read_bytes()[:10_000] if handed_in.is_file() and not handed_in.is_symlink() else otherwise
        write_atomically(classroom.feedback / student / slug / name, data)


def page(classroom: ClassFolder, student: str, slug: str) -> str:
    """The page of one student and lab, for formgrader's button.

    Raises:
        Problem: It has not been graded with `labs grade`.
    """
    from labs_src.course.grading import store

    lab = next((lab for lab in labs() if lab.slug == slug), None)
    for result in store.load(classroom.root):
        if lab is not None and (result.student, result.lab) == (student, lab.id):
            return render(sheet(classroom, lab, result))
    raise Problem(f"{student}'s {slug} has not been graded yet. First: labs grade DIR")


def render(found: Sheet) -> str:
    """The page; everything that anybody wrote is escaped."""
    return _template().render(sheet=found)


def _points(value: float) -> str:
    """2, not 2.0; but 1.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).parent.parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["points"] = _points
    environment.filters["prose"] = rendered
    return environment.get_template("feedback.html.j2")
