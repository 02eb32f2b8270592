"""What goes into grading, and what comes out, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

NOTES = ("note", "late", "renamed")
"""Kinds of rows that say something about how a submission came, not about what is in it."""


class Note(NamedTuple):
    """A sentence about how a submission came.

    Attributes:
        kind: One of `NOTES`.
        text: One sentence.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, said: Any) -> Note:
        """From a plain sentence, or a pair as JSON has it."""
        return cls("note", said) if isinstance(said, str) else cls(*said)


@dataclass(frozen=True)
class Submission:
    """One student's notebook for one lab.

    Attributes:
        student: The gradebook's id.
        lab: Two digits.
        content: The notebook as handed in; None when there is nothing to run.
        submitted: When, in UTC without a time zone, as nbgrader keeps it.
        name: File name as handed in.
        notes: For the needs-attention list; a plain sentence is of the kind "note".
        problem: Why it cannot be graded at all; then it is not run and gets no automatic points.
    """

    student: str
    lab: str
    content: bytes | None
    submitted: datetime | None = None
    name: str = ""
    notes: tuple[str | Note, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Attention:
    """A row that a person should look at.

    Attributes:
        student: Whose.
        lab: Two digits.
        exercise: Which, or "" for the submission.
        kind: "problem", "missing", "syntax", "crash", "timeout", "memory", "hostile", "processes", "sign",
            "cells", "unsafe", "died", "handed in" (belongs to no lab), or one of `NOTES`.
        message: One sentence.
    """

    student: str
    lab: str
    exercise: str
    kind: str
    message: str


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise of one submission.

    Attributes:
        name: The function's name.
        title: A few words.
        points: Earned automatically; None where nothing could be judged.
        max_points: Possible.
        state: "judged", "unwritten", "missing", "syntax" (its cell is not Python), "crashed", "timeout", "memory" or
            "not graded".
        criteria: For each part: name, passed, points, max_points, message.
        read_again: The heading in the lab to go back to.
    """

    name: str
    title: str
    points: int | None
    max_points: int
    state: str
    criteria: tuple[dict[str, Any], ...] = ()
    read_again: str = ""


@dataclass(frozen=True)
class Result:
    """Everything about one graded submission.

    Attributes:
        student: Whose.
        lab: Two digits.
        state: "graded", "problem" (could not be run) or "died" (the grading itself ended; repeat it).
        submission: sha256 of the notebook.
        checks: sha256 of everything that decides the marks.
        path: "definitions", "whole notebook" or "" when nothing ran.
        seconds: Wall time.
        exercises: In the lab's order.
        attention: Rows for the needs-attention list.
        unsafe: Whether it ran without a sandbox.
    """

    student: str
    lab: str
    state: str
    submission: str
    checks: str
    path: str = ""
    seconds: float = 0.0
    exercises: tuple[ExerciseResult, ...] = ()
    attention: tuple[Attention, ...] = field(default=())
    unsafe: bool = False

    @property
    def points(self) -> int:
        return sum(exercise.points or 0 for exercise in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        exercises = tuple(ExerciseResult(**{**e, "criteria": tuple(e["criteria"])}) for e in data["exercises"])
        attention = tuple(Attention(**row) for row in data["attention"])
        return cls(**{**data, "exercises": exercises, "attention": attention})
