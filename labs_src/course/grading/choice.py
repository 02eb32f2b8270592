"""`labs grade DIR`, second half: of all that a student handed in for a lab, the one that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.grading.arrivals import Arrival, when
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.intake import MARK, Intake
from labs_src.course.grading.platforms import parted
from labs_src.course.grading.reading import read, restored
from labs_src.course.grading.submission import Attention, Note, Submission


def choose(
    intake: Intake, due: Mapping[str, datetime | None], only: Sequence[Lab] = ()
) -> tuple[list[Submission], list[Attention]]:
    """One submission for each student and lab.

    The last one before the deadline counts, else the last one, as with nbgrader. A file that cannot be graded never
    takes the place of one that can.

    Args:
        intake: All that arrived.
        due: Deadlines by lab id, naive UTC.
        only: Leave out other labs.

    Returns:
        Submissions, and what cannot be put down to any lab.
    """
    wanted = {lab.id for lab in only}
    groups: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in (arrival for arrival in intake.arrivals if not arrival.other):
        groups.setdefault((arrival.student, arrival.lab), []).append(arrival)
    submissions = []
    for (student, lab), arrivals in sorted(groups.items()):
        if lab and (not wanted or lab in wanted):
            one = _one(intake, student, lab, arrivals, due.get(lab))
            submissions.append(replace(one, notes=tuple(dict.fromkeys([*_who(intake, arrivals[-1]), *one.notes]))))
    return submissions, asides(intake)


def asides(intake: Intake) -> list[Attention]:
    """What was handed in and belongs to no lab."""
    found = []
    for arrival in sorted(intake.arrivals, key=lambda arrival: arrival.student):
        if not arrival.lab and not arrival.other:
            notes = [note.text for note in arrival.notes]
            about = " ".join([arrival.problem, *notes, f"(In {arrival.place}.)"])
            found.append(Attention(arrival.student, "", "", "handed in", about))
    return found


def _who(intake: Intake, arrival: Arrival) -> list[Note]:
    """What is not certain about who a student is."""
    if arrival.student in intake.roster.students:
        return []
    if intake.roster.students:
        said = f"{arrival.given!r} is nobody in students.csv, or fits several: add it under `also` in the right line."
        return [Note("note", said)]
    name, number = parted(arrival.given)
    numbers = {parted(other.given)[1] for other in intake.arrivals if parted(other.given)[0] == name} if number else ()
    if len(numbers) < 2:
        return []
    some = ", ".join(sorted(numbers)[:5])  # Moodle has another number for each assignment
    return [Note("note", f"{name!r} came with the numbers {some}: one person or several? students.csv can say it.")]


def _one(intake: Intake, student: str, lab: str, arrivals: list[Arrival], due: datetime | None) -> Submission:
    ordered = sorted(arrivals, key=lambda arrival: arrival.when)  # stable: of equal dates the later arrival is last
    sound = [arrival for arrival in ordered if not arrival.problem]
    if not sound:
        last = ordered[-1]
        notes = [note for arrival in ordered for note in arrival.notes]
        notes += [
            Note("note", f"Also handed in: {other.problem}") for other in ordered[:-1] if other.problem != last.problem
        ]
        return Submission(student, lab, None, when(last), last.name, tuple(notes), last.problem)
    in_time = [arrival for arrival in sound if due is None or not arrival.when or when(arrival) <= due]
    chosen = (in_time or sound)[-1]
    notes = list(chosen.notes)
    others = {arrival.sha: arrival for arrival in sound if arrival.sha != chosen.sha}
    if others:
        count = len(others) + 1
        which = "in time" if in_time and any(a not in in_time for a in others.values()) else "of all"
        said = f"Handed in {count} times; graded is the last {which}, {chosen.name} ({_day(chosen)})."
        notes.append(Note("note", said))
    for arrival in ordered:
        if arrival.problem:
            notes.append(Note("note", f"Also handed in, and not graded: {arrival.problem}"))
    if due is not None and chosen.when and (late := when(chosen) - due) > timedelta(0):
        sure = f"Late: handed in {_span(late)} after the deadline."
        unsure = f"Perhaps late: the file is dated {_span(late)} after the deadline (a file's date can be wrong)."
        notes.append(Note("late", sure if chosen.sure else unsure))
    content = restored(read(intake.content(chosen)), intake.released(lab)).content()
    submitted = when(chosen) if chosen.sure else None
    return Submission(student, lab, content, submitted, chosen.name, tuple(notes))


def lay_out(submissions: Sequence[Submission], intake: Intake, labs: Sequence[Lab]) -> None:
    """Write what is graded into nbgrader's `submitted/`, where formgrader looks for it.

    What lies there already has been taken in before, and is kept in `arrived/`.
    """
    slugs = {lab.id: lab.slug for lab in labs}
    secrets = {(a.student, a.lab): a.secret for a in intake.arrivals if a.secret}
    for submission in submissions:
        if submission.content is None:
            continue
        slug = slugs[submission.lab]
        folder = intake.classroom.submitted / submission.student / slug
        if any(part.is_symlink() for part in (folder, folder.parent, folder.parent.parent)):
            raise Problem(f"{folder} is a link; remove it and repeat.")
        target = folder / f"{slug}.ipynb"
        if target.is_file() and not target.is_symlink() and target.read_bytes() == submission.content:
            continue
        mine = (folder / MARK).exists()
        if target.exists() and not mine:
            continue  # nbgrader's collect put it there
        write_atomically(folder / MARK, "")
        write_atomically(target, submission.content)
        if submission.submitted:
            write_atomically(folder / "timestamp.txt", f"{submission.submitted.isoformat(sep=' ')} UTC")
        if secret := secrets.get((submission.student, submission.lab)):
            write_atomically(folder / "submission_secret.txt", secret)


def deadlines(classroom: ClassFolder, labs: Sequence[Lab]) -> dict[str, datetime | None]:
    """Of the labs that have been released, from the gradebook."""
    from nbgrader.api import Gradebook, MissingEntry

    found: dict[str, datetime | None] = {}
    with Gradebook(classroom.db_url) as gradebook:
        for lab in labs:
            try:
                found[lab.id] = gradebook.find_assignment(lab.slug).duedate
            except MissingEntry:
                continue
    return found


def _day(arrival: Arrival) -> str:
    return when(arrival).strftime("%d %B %Y, %H:%M UTC") if arrival.when else "no date"


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes >= 48 * 60:
        return f"{minutes // 1440} days"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
