"""What `labs release`, `labs grade`, `labs feedback` and `labs similar` do, and what they print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from labs_src import checks
from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem, Stopped
from labs_src.course.folders import shown
from labs_src.course.grading.classfolder import ClassFolder

ROWS = 25
"""Rows of a table on the terminal; the files have all."""


def release(only: Sequence[str], course: Path, due: str | None = None, gradebook: str | None = None) -> None:
    """`labs release`."""
    from labs_src.course.grading import release as releasing

    classroom = ClassFolder.at(course, gradebook)
    deadline = _utc(due) if due else None
    for lab, path in zip(select(only or None), releasing.release(only or None, classroom, due=deadline)):
        print(f"{shown(path)}: {releasing.summary(lab)}")
    if deadline:
        print(f"Due {deadline:%d %B %Y, %H:%M} UTC.")


def grade(
    places: Sequence[Path],
    course: Path,
    only: Sequence[str] = (),
    *,
    jobs: int | None = None,
    unsafe: bool = False,
    fresh: bool = False,
    gradebook: str | None = None,
    with_feedback: bool = False,
) -> bool:
    """`labs grade`: take in, grade, say what needs a look.

    Returns:
        Whether everything that can be graded was.

    Raises:
        Problem: Nothing was handed in; no sandbox can be made here.
        Stopped: By Ctrl-C; the same call goes on from there.
    """
    from labs_src.course.grading import choice, feedback, intake
    from labs_src.course.grading import grade as grading

    classroom = ClassFolder.at(course, gradebook)
    classroom.make()
    labs, wanted = gradable(), _wanted(only, classroom)
    taken = intake.Intake(classroom, labs)
    collected = [classroom.submitted] if classroom.submitted.is_dir() and any(classroom.submitted.iterdir()) else []
    for place in [*collected, *places]:
        new = taken.take(place, wanted[0] if len(wanted) == 1 else None)
        if place in places:
            print(f"{shown(place)}: {_count(new)}")
    submissions, asides = choice.choose(taken, choice.deadlines(classroom, labs), wanted)
    if not submissions and not asides:
        raise Problem("Nothing has been handed in yet. Give the folder, or a zip of it: labs grade DIR")
    choice.lay_out(submissions, taken, labs)
    try:
        report = grading.grade(
            submissions,
            course=classroom.root,
            gradebook_url=classroom.db_url,
            jobs=jobs,
            unsafe=unsafe,
            fresh=fresh,
        )
    except KeyboardInterrupt:
        raise Stopped from None
    _also(report.attention_csv, asides)
    _say_attention([*asides, *report.attention])
    _say_changes(report.changes)
    _say_absent(classroom, submissions)
    for path in (report.marks, report.criteria, report.attention_csv):
        print(shown(path))
    if with_feedback:
        pages = feedback.write(classroom, labs, results=report.results)
        print(f"{len(pages)} pages of feedback in {shown(classroom.feedback)}; {shown(totals(classroom))}")
    return not any(result.state == "died" for result in report.results)


def feedback(
    course: Path, only: Sequence[str] = (), students: Sequence[str] = (), gradebook: str | None = None
) -> None:
    """`labs feedback`: the pages again, with what was graded by hand since."""
    from labs_src.course.grading import feedback as pages

    classroom = ClassFolder.at(course, gradebook)
    written = pages.write(classroom, select(only or None), students)
    pages_are = "page of feedback is" if len(written) == 1 else "pages of feedback are"
    print(f"{len(written)} {pages_are} in {shown(classroom.feedback)}, such as {shown(written[0])}")
    print(f"Points, with what was graded by hand: {shown(totals(classroom))}")


def totals(classroom: ClassFolder) -> Path:
    """Write `gradebook.csv`: a line for each student and lab, from the gradebook."""
    from labs_src.course.grading import gradebook
    from labs_src.course.grading.store import _csv

    table: dict[tuple[str, str], list[float]] = {}
    for row in gradebook.marks(classroom.db_url):
        sums = table.setdefault((row["student"], row["lab"]), [0, 0, 0])
        sums[0] += row["score"] or 0
        sums[1] += row["max_score"]
        sums[2] += row["needs_manual"]
    head = ("student", "lab", "points", "of", "still to look at")
    rows = [(*key, f"{sums[0]:g}", f"{sums[1]:g}", int(sums[2])) for key, sums in sorted(table.items())]
    path = classroom.root / "grading" / "gradebook.csv"
    write_atomically(path, _csv([head, *rows]))
    return path


def similar(course: Path, only: Sequence[str] = (), above: float | None = None) -> None:
    """`labs similar`: pairs that are alike, most alike first."""
    from rich.console import Console
    from rich.table import Table

    from labs_src.course.grading import choice, intake, similarity

    classroom = ClassFolder.at(course)
    taken = intake.Intake(classroom, gradable())
    wanted = _wanted(only, classroom)
    submissions, _ = choice.choose(taken, {}, wanted)
    if not submissions:
        raise Problem("Nothing has been handed in yet. First: labs grade DIR")
    above = similarity.SUSPICIOUS if above is None else above
    for lab in (lab for lab in gradable() if any(s.lab == lab.id for s in submissions)):
        mine = [s for s in submissions if s.lab == lab.id]
        found = similarity.pairs(mine, lab, above)
        found = similarity.write(found, mine, lab, classroom.root / "grading")
        count = sum(s.content is not None for s in mine)
        print(f"Lab {lab.id}: of {count} submissions, {len(found)} pairs are at least {above:g} alike.")
        if found:
            table = Table("alike", "first", "second", "above all in", box=None, padding=(0, 2, 0, 0))
            for pair in found[:ROWS]:
                where = ", ".join(f"{name} {value:.2f}" for name, value in pair.where[:3])
                table.add_row(f"{pair.alike:.2f}", pair.first, pair.second, where)
            Console(highlight=False).print(table)
            where = classroom.root / "grading"
            print(f"All in {shown(where / f'similar-{lab.id}.csv')}; side by side in {shown(where / 'similar')}/")


def probe() -> bool:
    """`labs grade --probe`: what this machine can enforce while it runs students' code."""
    from labs_src.course.grading import machine

    rows = machine.report()
    for what, enforced, message in rows:
        print(f"{'ok ' if enforced else 'NO '} {what}: {message}")
    return all(enforced for _, enforced, _ in rows)


def gradable() -> list[Lab]:
    """The labs that have exercises."""
    return [lab for lab in select(None) if lab.id in checks.lab_ids()]


def _wanted(only: Sequence[str], classroom: ClassFolder) -> list[Lab]:
    """The labs asked for; the one that was released, where it is only one; else none, which means all."""
    if only:
        return select(only)
    if not classroom.release.is_dir():
        return []
    released = [lab for lab in gradable() if (classroom.release / lab.slug).is_dir()]
    return released if len(released) == 1 else []


def _utc(text: str) -> datetime:
    """A deadline as typed, local time unless it names another, in naive UTC.

    Raises:
        Problem: It is not a date.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        raise Problem(f"{text!r} is not a date. Write it as 2026-12-04T17:00 (your time).") from None


def _count(new: Sequence) -> str:
    if not new:
        return "nothing that was not there already."
    sound = sum(not arrival.problem for arrival in new)
    students = len({arrival.student for arrival in new})
    bad = f", {len(new) - sound} things that cannot be graded" if sound < len(new) else ""
    return f"{sound} notebooks{bad}, from {students} students."


def _also(table: Path, asides: Sequence) -> None:
    """Add to the list what belongs to no submission: a PDF, a zip with a link in it."""
    from labs_src.course.grading.store import _csv

    if asides:
        rows = _csv((a.student, a.lab, a.exercise, a.kind, a.message) for a in asides)
        write_atomically(table, table.read_text(encoding="utf-8") + rows)


def _say_attention(attention: Sequence) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not attention:
        print("Nothing needs attention.")
        return
    kinds = Counter(row.kind for row in attention)
    print(f"Needs attention: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}.")
    table = Table("student", "lab", "exercise", "", box=None, padding=(0, 2, 0, 0))
    notes_last = sorted(attention, key=lambda row: row.kind == "note")
    for row in notes_last[:ROWS]:
        table.add_row(*(escape(text) for text in (row.student, row.lab, row.exercise, row.message)))
    Console(highlight=False).print(table)
    if len(attention) > ROWS:
        print(f"and {len(attention) - ROWS} more in the list.")


def _say_changes(changes: Sequence) -> None:
    if changes:
        students = len({change.student for change in changes})
        print(f"{len(changes)} marks of {students} students are not what they were:")
    for change in changes[:ROWS]:
        before, after = ("nothing" if x is None else x for x in (change.before, change.after))
        print(f"  {change.student} {change.lab} {change.exercise}: {before} became {after} ({change.why})")


def _say_absent(classroom: ClassFolder, submissions: Sequence) -> None:
    """Students of the gradebook from whom there is nothing."""
    from nbgrader.api import Gradebook

    with Gradebook(classroom.db_url) as gradebook:
        everybody = {student.id for student in gradebook.students}
    for lab in sorted({submission.lab for submission in submissions}):
        absent = sorted(everybody - {s.student for s in submissions if s.lab == lab})
        if absent:
            more = f" and {len(absent) - 20} others" if len(absent) > 20 else ""
            print(f"Lab {lab}: nothing from {', '.join(absent[:20])}{more}.")
