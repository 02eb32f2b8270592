"""What `labs grade` prints and lists: how much came, what needs attention, what changed, from whom there is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from labs_src.course.cells import write_atomically
from labs_src.course.grading.classfolder import ClassFolder

ROWS = 25
"""Rows of a table on the terminal; the files have all."""


def count(new: Sequence) -> str:
    if not new:
        return "nothing that was not there already."
    sound = sum(not arrival.problem for arrival in new)
    students = len({arrival.student for arrival in new})
    bad = f", {len(new) - sound} things that cannot be graded" if sound < len(new) else ""
    return f"{sound} notebooks{bad}, from {students} students."


def also(table: Path, asides: Sequence) -> None:
    """Add to the list what belongs to no submission: a PDF, a zip with a link in it."""
    from labs_src.course.grading.store import _csv

    if asides:
        rows = _csv((a.student, a.lab, a.exercise, a.kind, a.message) for a in asides)
        write_atomically(table, table.read_text(encoding="utf-8") + rows)


def say_attention(attention: Sequence) -> None:
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


def say_changes(changes: Sequence) -> None:
    if changes:
        students = len({change.student for change in changes})
        print(f"{len(changes)} marks of {students} students are not what they were:")
    for change in changes[:ROWS]:
        before, after = ("nothing" if x is None else x for x in (change.before, change.after))
        print(f"  {change.student} {change.lab} {change.exercise}: {before} became {after} ({change.why})")


def say_absent(classroom: ClassFolder, submissions: Sequence) -> None:
    """Students of the gradebook from whom there is nothing."""
    from nbgrader.api import Gradebook

    with Gradebook(classroom.db_url) as gradebook:
        everybody = {student.id for student in gradebook.students}
    for lab in sorted({submission.lab for submission in submissions}):
        absent = sorted(everybody - {s.student for s in submissions if s.lab == lab})
        if absent:
            more = f" and {len(absent) - 20} others" if len(absent) > 20 else ""
            print(f"Lab {lab}: nothing from {', '.join(absent[:20])}{more}.")
