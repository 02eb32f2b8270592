"""`labs forget`: take a mistaken submission, or a student who is none, out again. Files are moved, none is deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading import arrivals as kept
from labs_src.course.grading import gradebook
from labs_src.course.grading.arrivals import Arrival
from labs_src.course.grading.inbound import FORGOTTEN
from labs_src.course.grading.intake import Intake
from labs_src.course.grading.store import Change, Store, _csv

HANDED_IN = "handed-in"


@dataclass
class Forgotten:
    """What was taken out.

    Attributes:
        student: Whose.
        labs: Two digits each; none where it was everything.
        arrivals: What the student had handed in.
        rows: Of the gradebook, as `gradebook.marks` gives them.
        by_hand: Of the gradebook, what a person gave: lab and exercise.
        paths: What lies in the class's folder, relative to it.
        listed: Whether the class's roster names the student, who then stays in the gradebook.
        folder: Where it is now.
    """

    student: str
    labs: tuple[str, ...]
    arrivals: list[Arrival] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    listed: bool = False
    folder: Path = Path()


def forget(intake: Intake, name: str, labs: Sequence[Lab] = (), force: bool = False) -> Forgotten:
    """Take a student's work out of everything that `labs grade` reads and writes.

    Stopped at any moment, the same call does the rest. What is taken in again afterwards is taken in as new.

    Args:
        intake: Of the class.
        name: The student's id, or the name that a folder or a platform gave.
        labs: Only these; by default everything, and the student.
        force: Even if a person gave marks or wrote comments.

    Raises:
        Problem: There is nothing of this student's; a person gave marks or wrote comments, and `force` is not given.
    """
    classroom = intake.classroom
    found = _found(intake, name, labs)
    if found.by_hand and not force:
        some = ", ".join(found.by_hand[:5]) + (" …" if len(found.by_hand) > 5 else "")
        raise Problem(
            f"{found.student} has points or comments that were given by hand ({some}). "
            "To take them out too, into a file beside the rest: the same again with --force"
        )
    grading = classroom.root / "grading"
    found.folder = _new(grading / FORGOTTEN)
    if found.rows:
        write_atomically(found.folder / "gradebook.csv", _csv([tuple(found.rows[0]), *map(_values, found.rows)]))
    kept.save(found.folder, found.arrivals)
    slugs = {lab.id: lab.slug for lab in intake.labs}
    for arrival in found.arrivals:
        _copy(classroom.arrived, arrival, found.folder / HANDED_IN, slugs.get(arrival.lab, ""))
    gone = {id(arrival) for arrival in found.arrivals}
    intake.arrivals = [arrival for arrival in intake.arrivals if id(arrival) not in gone]
    kept.save(classroom.arrived, intake.arrivals)
    used = {arrival.file for arrival in intake.arrivals}
    for file in {arrival.file for arrival in found.arrivals if arrival.sha} - used:
        (classroom.arrived / file).unlink(missing_ok=True)
    store = Store(classroom.root)
    for result in store.all():
        if result.student == found.student and (not found.labs or result.lab in found.labs):
            store.log(Change(result.student, result.lab, e.name, e.points, None, "forgotten") for e in result.exercises)
    for path in found.paths:
        target = found.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(classroom.root / path, target)
        if path.parent.name == found.student and not any((classroom.root / path).parent.iterdir()):
            (classroom.root / path).parent.rmdir()
    _out_of_gradebook(classroom.db_url, found, slugs)
    return found


def _found(intake: Intake, name: str, labs: Sequence[Lab]) -> Forgotten:
    """Everything of a student's.

    Raises:
        Problem: There is nothing.
    """
    from nbgrader.api import Gradebook

    classroom = intake.classroom
    slugs, wanted = [lab.slug for lab in labs], tuple(lab.id for lab in labs)
    with Gradebook(classroom.db_url) as book:
        students = {student.id for student in book.students}
    trees = [tree for tree in (classroom.submitted, classroom.autograded, classroom.feedback) if tree.is_dir()]
    tables = sorted((classroom.root / "grading").glob("*/[0-9][0-9]/*.json"))
    everybody = students | {arrival.student for arrival in intake.arrivals}
    everybody |= {path.name for tree in trees for path in tree.iterdir()} | {path.stem for path in tables}
    given = {arrival.given: arrival.student for arrival in intake.arrivals}
    student = name if name in everybody else given.get(name, "")
    if not student:
        some = ", ".join(sorted(everybody)[:20]) + (" …" if len(everybody) > 20 else "")
        raise Problem(f"There is nothing of {name!r} here. " + (f"There are: {some}." if some else "Nobody is."))
    found = Forgotten(student, wanted, listed=student in intake.roster.students)
    found.arrivals = [a for a in intake.arrivals if a.student == student and (not wanted or a.lab in wanted)]
    for tree in trees:
        places = [tree / student / slug for slug in slugs] if wanted else [tree / student]
        found.paths += [path for path in places if os.path.lexists(path)]
    found.paths += [path for path in tables if path.stem == student and (not wanted or path.parent.name in wanted)]
    found.paths = [path.relative_to(classroom.root) for path in found.paths]
    found.rows, found.by_hand = _marks(classroom.db_url, student, wanted)
    if not (found.arrivals or found.paths or found.rows) and (wanted or student not in students or found.listed):
        raise Problem(f"There is nothing of {student}" + (f" for lab {', '.join(wanted)}." if wanted else " here."))
    return found


def _marks(url: str, student: str, wanted: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """A student's rows of the gradebook, and which of them a person made."""
    from nbgrader.api import Gradebook, MissingEntry

    rows = [row for row in gradebook.marks(url) if row["student"] == student]
    rows = [row for row in rows if not wanted or row["lab"] in wanted]
    by_hand = [f"{r['lab']} {r['exercise']}" for r in rows if r["manual"] is not None or r["extra"]]
    with Gradebook(url) as book:
        try:
            submissions = book.find_student(student).submissions
        except MissingEntry:
            return rows, by_hand
        for submission in submissions:
            lab = submission.assignment.name[:2]
            for notebook in submission.notebooks if not wanted or lab in wanted else ():
                by_hand += [f"{lab} {comment.name}" for comment in notebook.comments if comment.manual_comment]
    return rows, list(dict.fromkeys(by_hand))


def _out_of_gradebook(url: str, found: Forgotten, slugs: dict[str, str]) -> None:
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(url) as book:
        try:
            student = book.find_student(found.student)
        except MissingEntry:
            return
        if not found.labs and not found.listed:
            book.remove_student(found.student)
            return
        wanted = {slugs[lab] for lab in found.labs}
        for name in [s.assignment.name for s in student.submissions]:
            if not wanted or name in wanted:
                book.remove_submission(name, found.student)


def _copy(arrived: Path, arrival: Arrival, folder: Path, slug: str) -> None:
    """One handed-in file, laid out so that `labs grade` can take it in again, for the same student and date."""
    if not arrival.sha or not (arrived / arrival.file).is_file():
        return
    stamp = kept.when(arrival)
    of_exchange = arrival.sure and stamp is not None and slug and not arrival.other
    folder /= f"{_called(arrival)}+{slug}+{stamp:%Y-%m-%d %H:%M:%S.%f} UTC" if of_exchange else _called(arrival)
    folder.mkdir(parents=True, exist_ok=True)
    name = arrival.name.rpartition("/")[2]
    if slug and not arrival.other:
        name = f"{slug}.ipynb"
    elif not name.strip(". ") or len(name.encode()) > 200:
        name = arrival.file
    target, number = folder / name, 1
    while target.exists():
        number += 1
        target = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
    shutil.copyfile(arrived / arrival.file, target)
    if stamp:
        seconds = stamp.replace(tzinfo=UTC).timestamp()
        os.utime(target, (seconds, seconds))
    if arrival.secret and of_exchange:
        write_atomically(folder / "submission_secret.txt", arrival.secret)


def _called(arrival: Arrival) -> str:
    """The name that the student's folder had, where a folder can have it."""
    name = arrival.given
    return name if name.strip(". ") and "/" not in name and len(name.encode()) < 200 else arrival.student


def _new(parent: Path) -> Path:
    """A folder called after the time."""
    name = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    path.mkdir(parents=True)
    return path


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple("" if value is None else value for value in row.values())


def said(found: Forgotten) -> list[str]:
    """What was done, in lines."""
    whose = f"{found.student}, lab {', '.join(found.labs)}" if found.labs else found.student
    lines = [f"Forgotten: {whose}."]
    handed = [arrival.name for arrival in found.arrivals if arrival.sha]
    handed = handed or [arrival.name or arrival.problem for arrival in found.arrivals]
    if handed:
        more = f" and {len(handed) - 5} more" if len(handed) > 5 else ""
        lines.append(f"  handed in: {', '.join(handed[:5])}{more}")
    if found.rows:
        for lab in sorted({row["lab"] for row in found.rows}):
            mine = [row for row in found.rows if row["lab"] == lab]
            points, of = sum(row["score"] or 0 for row in mine), sum(row["max_score"] for row in mine)
            lines.append(f"  in the gradebook: {points:g} of {of:g} points for lab {lab}")
    if found.by_hand:
        lines.append(f"  given by hand: {', '.join(found.by_hand)}")
    lines += [f"  {path}" for path in found.paths]
    if found.listed or found.labs:
        lines.append(f"{found.student} stays in the gradebook" + (", being in students.csv." if found.listed else "."))
    lines.append(f"All of it is now in {shown(found.folder)}.")
    places = list(dict.fromkeys(arrival.place for arrival in found.arrivals if arrival.place))
    if any(arrival.sha and not arrival.other for arrival in found.arrivals):
        lines.append(f"To take it in again: labs grade {shown(found.folder / HANDED_IN)}")
    if places:
        lines.append(f"It also comes back if you give {', '.join(places)} to labs grade again with it still inside.")
    return lines
