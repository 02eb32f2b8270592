"""What `labs release`, `labs grade`, `labs feedback`, `labs similar` and `labs forget` do, and what they print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from labs_src import checks
from labs_src.course.catalogue import Lab, select
from labs_src.course.errors import Problem, Stopped
from labs_src.course.folders import shown
from labs_src.course.grading import printed
from labs_src.course.grading.classfolder import ClassFolder


def release(only: Sequence[str], course: Path, due: str | None = None, gradebook: str | None = None) -> None:
    """`labs release`."""
    from labs_src.course.grading import release as releasing
    from labs_src.course.grading.roster import Roster

    classroom = ClassFolder.at(course, gradebook)
    deadline, roster = _utc(due) if due else None, Roster.of(classroom.root)
    for lab, path in zip(select(only or None), releasing.release(only or None, classroom, due=deadline)):
        print(f"{shown(path)}: {releasing.summary(lab)}")
    roster.enter(classroom.db_url)
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
    from labs_src.course.grading import choice, feedback, inbound, intake, totals
    from labs_src.course.grading import grade as grading

    classroom = ClassFolder.at(course, gradebook)
    classroom.make()
    labs, wanted = gradable(), _wanted(only, classroom)
    taken = intake.Intake(classroom, labs)
    collected = [classroom.submitted] if classroom.submitted.is_dir() and any(classroom.submitted.iterdir()) else []
    for place in [*collected, *places]:
        new = taken.take(place, wanted[0] if len(wanted) == 1 else None)
        if place in places:
            print(f"{shown(place)}: {printed.count(new)}")
    for old, student in taken.moved.items():
        print(f"{old} is {student} in students.csv, and is graded under that name.")
        print(f"To take out what is left under the old one: labs forget {old}")
    exchange, newer = inbound.newer(taken)
    if newer:
        some = ", ".join(f"{student} ({lab})" for student, lab in newer[:10]) + (" …" if len(newer) > 10 else "")
        print(f"The exchange holds what was not collected, of {some}. To take it in: labs grade {shown(exchange)}")
    taken.roster.enter(classroom.db_url)
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
    printed.also(report.attention_csv, asides)
    printed.say_attention([*asides, *report.attention])
    printed.say_changes(report.changes)
    printed.say_absent(classroom, submissions)
    for path in (report.marks, report.criteria, report.attention_csv):
        print(shown(path))
    print(shown(totals.say(classroom)))
    if with_feedback:
        pages = feedback.write(classroom, labs, results=report.results)
        print(f"{printed.number(len(pages), 'page')} of feedback in {shown(classroom.feedback)}")
    return not any(result.state == "died" for result in report.results)


def feedback(
    course: Path, only: Sequence[str] = (), students: Sequence[str] = (), gradebook: str | None = None
) -> None:
    """`labs feedback`: the pages again, with what was graded by hand since."""
    from labs_src.course.grading import feedback as pages
    from labs_src.course.grading import totals

    classroom = ClassFolder.at(course, gradebook)
    written = pages.write(classroom, select(only or None), students)
    pages_are = "page of feedback is" if len(written) == 1 else "pages of feedback are"
    print(f"{len(written)} {pages_are} in {shown(classroom.feedback)}, such as {shown(written[0])}")
    print(f"Points, with what was graded by hand: {shown(totals.say(classroom))}")


def forget(course: Path, student: str, only: Sequence[str] = (), force: bool = False) -> None:
    """`labs forget`: take out what was handed in by mistake."""
    from labs_src.course.grading import choice, intake, totals
    from labs_src.course.grading import forget as forgetting
    from labs_src.course.grading.store import Store

    classroom = ClassFolder.at(course)
    if not classroom.root.is_dir():
        raise Problem(f"There is no class in {shown(classroom.root)}. Name another folder with --course DIR.")
    taken = intake.Intake(classroom, gradable())
    for line in forgetting.said(forgetting.forget(taken, student, select(only) if only else (), force)):
        print(line)
    store = Store(classroom.root)
    store.tables(store.all(), choice.asides(taken))
    totals.write(classroom)


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
        are = "pair is" if len(found) == 1 else "pairs are"
        print(f"Lab {lab.id}: of {printed.number(count, 'submission')}, {len(found)} {are} at least {above:g} alike.")
        if not found:
            print(f"Pairs that are less alike: labs similar --lab {lab.id} --above {max(above - 0.2, 0):.1f}")
        if found:
            table = Table("alike", "first", "second", "above all in", box=None, padding=(0, 2, 0, 0))
            for pair in found[: printed.ROWS]:
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
