"""What `labs grade` prints and lists: how much came, what needs attention, what changed, from whom there is nothing."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from labs_src.course.cells import write_atomically
from labs_src.course.grading.classfolder import ClassFolder

ROWS = 25
"""Rows of a table on the terminal; the files have all."""

KINDS = {
    "died": "the grading itself ended; no marks are written. Grade it again",
    "problem": "cannot be graded; it has no points, which is not a zero, until you give some",
    "handed in": "belongs to no lab, so nothing is graded",
    "hostile": "the code sent answers that nobody asked for; only right ones count",
    "unsafe": "graded without a sandbox",
    "processes": "the code left programs running; they were ended",
    "sign": "a line that no exercise has a use for; it changes no points",
    "syntax": "the exercise's cell is not Python; 0 points, the student's page quotes the line",
    "missing": "there is no function of the exercise's name; 0 points, the student's page says so",
    "timeout": "took too long and was stopped; points for what was answered before",
    "memory": "took too much memory; points for what was answered before",
    "crash": "ended Python while it ran; points for what was answered before",
    "cells": "a cell fails or is not Python, but no exercise needs it",
    "late": "handed in after the deadline",
    "renamed": "came under another name",
    "note": "how it was handed in",
}
"""Kinds of entries that need attention, worst first."""


def number(count: int, what: str) -> str:
    """For example "1 page", "2 pages"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def count(new: Sequence) -> str:
    """How much came.

    Args:
        new: Arrivals.
    """
    if not new:
        return "nothing that was not there already."
    handed = [arrival for arrival in new if not arrival.other]
    bad, files = sum(bool(arrival.problem) for arrival in handed), len(new) - len(handed)
    parts = [number(len(handed) - bad, "notebook")]
    if bad:
        parts.append(f"{number(bad, 'thing')} that cannot be graded")
    if files:
        parts.append(f"{number(files, 'other file')} kept")
    return f"{', '.join(parts)}, from {number(len({arrival.student for arrival in new}), 'student')}."


def also(table: Path, asides: Sequence) -> None:
    """Add to the list what belongs to no submission: a PDF, a zip with a link in it."""
    from labs_src.course.grading.store import _csv

    if asides:
        rows = _csv((a.student, a.lab, a.exercise, a.kind, a.message) for a in asides)
        write_atomically(table, table.read_text(encoding="utf-8") + rows)


def say_attention(attention: Sequence) -> None:
    """The list for the terminal, worst first: a line for each entry, its message below, then what the kinds mean."""
    if not attention:
        print("Nothing needs attention.")
        return
    order = {kind: place for place, kind in enumerate(KINDS)}
    rows = sorted(attention, key=lambda row: order.get(row.kind, len(order)))
    kinds = Counter(row.kind for row in rows)
    print(f"Needs attention: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}.\n")
    heads = [("kind", "student", "lab", "exercise")]
    heads += [(row.kind, row.student, row.lab, row.exercise) for row in rows[:ROWS]]
    widths = [max(len(head[column]) for head in heads) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(head, widths)).rstrip() for head in heads]
    print(lines[0])
    for line, row in zip(lines[1:], rows):
        print(line)
        print(_indented(row.message))
    if len(rows) > ROWS:
        print(f"and {len(rows) - ROWS} more in the list.")
    print()
    for kind in (kind for kind in kinds if kind in KINDS):
        print(_indented(f"{kind}: {KINDS[kind]}", first=""))


def _indented(text: str, first: str = "    ") -> str:
    """A text in the terminal's width, whole; further lines are indented."""
    width = max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent="    ", break_on_hyphens=False)


def say_changes(changes: Sequence) -> None:
    """Marks that are not what they were, for the terminal."""
    if changes:
        students = number(len({change.student for change in changes}), "student")
        are = "is not what it was" if len(changes) == 1 else "are not what they were"
        print(f"{number(len(changes), 'mark')} of {students} {are}:")
    for change in changes[:ROWS]:
        before, after = ("nothing" if x is None else x for x in (change.before, change.after))
        print(f"  {change.student} {change.lab} {change.exercise}: {before} became {after} ({change.why})")
    if len(changes) > ROWS:
        print(f"  and {len(changes) - ROWS} more in changes.csv.")


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
