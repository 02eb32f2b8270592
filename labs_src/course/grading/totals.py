"""The final points: `gradebook.csv`, a line for each student and lab, and what in the gradebook waits for a person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src.course.cells import write_atomically
from labs_src.course.grading import gradebook, store
from labs_src.course.grading.classfolder import ClassFolder

HEAD = ("student", "lab", "points", "of", "from checks", "by hand", "waiting", "state")


@dataclass(frozen=True)
class Total:
    """One student and lab.

    Attributes:
        student, lab: Whose, and of what.
        points: Final so far, lateness taken off; None where nothing has been given by anybody.
        max_points: Of checks and answers in words.
        checks: What the checks gave, as in `marks.csv`.
        unread: Answers in words that wait to be read.
        changed: Of these, those with points for an earlier text.
        look: Exercises with points by hand for work that has changed since, or that could not be judged.
        state: "graded", "could not be graded" or "not handed in".
    """

    student: str
    lab: str
    points: float | None
    max_points: float
    checks: float | None
    unread: int = 0
    changed: int = 0
    look: int = 0
    state: str = "not handed in"

    def row(self) -> tuple:
        """As in `gradebook.csv`: no points are an empty field, not 0."""
        by_hand = None if self.points is None else self.points - (self.checks or 0)
        numbers = (self.points, self.max_points, self.checks, by_hand)
        texts = ("" if value is None else f"{value:g}" for value in numbers)
        return (self.student, self.lab, *texts, self.unread + self.look, self.state)


def totals(classroom: ClassFolder) -> list[Total]:
    """Every student of the gradebook with every lab in it, by student and lab."""
    states = {(result.student, result.lab): result.state for result in store.load(classroom.root)}
    found = []
    with gradebook.opened(classroom.db_url) as book:
        everybody = [student.id for student in book.students]
        for assignment in book.assignments:
            lab, of = assignment.name[:2], assignment.max_score
            handed_in = {submission.student_id: submission for submission in assignment.submissions}
            for student in everybody:
                if student in handed_in:
                    found.append(_total(student, lab, of, handed_in[student], states.get((student, lab), "graded")))
                else:
                    found.append(Total(student, lab, None, of, None))
    return sorted(found, key=lambda total: (total.student, total.lab))


def _total(student: str, lab: str, of: float, submission: Any, state: str) -> Total:
    points = checks = None
    unread = changed = look = 0
    penalty = 0.0
    for notebook in submission.notebooks:
        penalty += notebook.late_submission_penalty or 0
        for grade in notebook.grades:
            checked = grade.name.startswith(gradebook.PREFIX)
            if grade.manual_score is not None or grade.auto_score is not None:
                points = (points or 0) + (grade.score or 0)
            if checked and grade.auto_score is not None:
                checks = (checks or 0) + grade.auto_score
            if grade.needs_manual_grade and checked:
                look += 1
            elif grade.needs_manual_grade:
                unread += 1
                changed += grade.manual_score is not None
    final = None if points is None else points - penalty
    named = "graded" if state == "graded" else "could not be graded"
    return Total(student, lab, final, of, checks, unread, changed, look, named)


def write(classroom: ClassFolder) -> Path:
    """Write `gradebook.csv`; returns where it is."""
    path = classroom.root / "grading" / "gradebook.csv"
    write_atomically(path, store._csv([HEAD, *(total.row() for total in totals(classroom))]))
    return path


def say(classroom: ClassFolder) -> Path:
    """Write `gradebook.csv`, and print what waits for a person; returns where the file is."""
    from labs_src.course.grading.printed import number

    path, found = write(classroom), totals(classroom)
    unread, changed, look = (sum(getattr(t, name) for t in found) for name in ("unread", "changed", "look"))
    if unread:
        labs = Counter({lab: sum(t.unread for t in found if t.lab == lab) for lab in sorted({t.lab for t in found})})
        where = ", ".join(f"lab {lab}: {count}" for lab, count in labs.items() if count)
        again = f"; {changed} changed since you gave points" if changed else ""
        wait = "waits" if unread == 1 else "wait"
        print(f"{number(unread, 'answer')} in words {wait} to be read in formgrader ({where}{again}).")
    if look:
        wait = "waits" if look == 1 else "wait"
        print(f"{number(look, 'exercise')} {wait} for you: not judged, or changed since you gave points by hand.")
    return path
