"""Everything that a class handed in, on disk: the files as they came, and `index.json`, which says whose each is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.spool import suffix
from labs_src.course.grading.submission import Note

INDEX = "index.json"
ROUNDED = timedelta(seconds=2)
"""How exact a date in a zip is."""


@dataclass
class Arrival:
    """One notebook, or one thing that should have been one, as it was handed in.

    Attributes:
        student: The gradebook's name.
        given: The name that the folder or file gave.
        lab: Two digits; "" when that cannot be told.
        sha: Of the file as it came, kept under that name; "" when nothing could be read.
        name: The file's, for messages.
        when: ISO, naive UTC.
        sure: Whether `when` is nbgrader's timestamp, or only the file's date.
        problem: Why it cannot be graded, as a sentence; "" when it can.
        notes: What an instructor should know.
        secret: nbgrader's submission secret, which its exchange needs to return feedback.
        place: What was taken in.
        other: Whether it is no notebook: kept, and never graded.
    """

    student: str
    given: str
    lab: str
    sha: str
    name: str
    when: str = ""
    sure: bool = False
    problem: str = ""
    notes: list[Note] = field(default_factory=list)
    secret: str = ""
    place: str = ""
    other: bool = False

    def __post_init__(self) -> None:
        self.notes = [Note.of(note) for note in self.notes]

    @property
    def file(self) -> str:
        """What it is called in `arrived/`."""
        return self.sha + (suffix(self.name) if self.other else ".ipynb")

    @property
    def about(self) -> tuple[Any, ...]:
        """The same for two that are the same thing but for their dates."""
        what = self.sha or self.name.rpartition("/")[2]
        return self.student, self.lab, what, "" if self.other else self.problem, self.other


def when(arrival: Arrival) -> datetime | None:
    """When it was handed in, as far as that is known."""
    return datetime.fromisoformat(arrival.when) if arrival.when else None


def same(one: Arrival, other: Arrival) -> bool:
    """Whether two arrivals are one submission, seen twice: in a folder and in a zip of it, say."""
    if one.about != other.about:
        return False
    first, second = when(one), when(other)
    if one.other or first is None or second is None or first == second:
        return one.other or first == second
    return not (one.sure and other.sure) and abs(first - second) <= ROUNDED


def load(folder: Path) -> list[Arrival]:
    """What `index.json` says.

    Raises:
        Problem: It is damaged.
    """
    path = folder / INDEX
    if not path.exists():
        return []
    try:
        return [Arrival(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise Problem(f"{shown(path)} is damaged ({error}). Move it away and take the submissions in again.") from error


def save(folder: Path, arrivals: Iterable[Arrival]) -> None:
    """Write `index.json`, whole or not at all."""
    rows = json.dumps([asdict(arrival) for arrival in arrivals], indent=1, ensure_ascii=False)
    write_atomically(folder / INDEX, rows + "\n")
