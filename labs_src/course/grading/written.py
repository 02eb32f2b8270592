"""Answers in words: the question, what a student wrote, and which text the points that a person gave are for.

An answer that is handed in again unchanged stays read; one that has changed is to be read again. The gradebook has no
place for this, so `grading/answers/LAB/STUDENT.json` keeps two digests for each question: of the text that formgrader
shows, and of the text that was there when a person last gave points.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.learner import learner_copy

UNREADABLE = "\0"
"""Stands for the answers in a notebook that cannot be read."""


@dataclass(frozen=True)
class Question:
    """What is asked, from the released notebook.

    Attributes:
        title: The last heading before the answer.
        text: Markdown of the cell before the answer, without that heading.
        stub: What stands in the answer's cell when nothing has been written.
    """

    title: str
    text: str
    stub: str


@cache
def questions(lab: Lab) -> dict[str, Question]:
    """The questions that are answered in words, by grade id."""
    found, heading, before = {}, lab.title, ""
    for cell in learner_copy(lab).cells:
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade") and data.get("solution"):
            found[data["grade_id"]] = Question(heading, before, cell.source.strip())
        elif cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            last = max((n for n, line in enumerate(lines) if line.startswith("#")), default=-1)
            heading = lines[last].lstrip("# ") if last >= 0 else heading
            before = "\n".join(lines[last + 1 :]).strip()
    return found


def answers(cells: Iterable[Any], asked: Mapping[str, str]) -> dict[str, str]:
    """What a student wrote, by grade id; "" where it is what was released, or nothing.

    Args:
        cells: The student's, as dicts; of several with the same grade id the first counts.
        asked: For each grade id what was released in its cell.
    """
    theirs: dict[str, str] = {}
    for cell in cells:
        data = cell.get("metadata", {}).get("nbgrader", {})
        if isinstance(data, dict) and data.get("grade_id") in asked:
            theirs.setdefault(data["grade_id"], "".join(cell.get("source", "")).strip())
    return {name: "" if theirs.get(name, "") == stub.strip() else theirs.get(name, "") for name, stub in asked.items()}


def submitted(path: Path, lab: Lab) -> dict[str, str]:
    """The answers in a notebook of `submitted/`, by grade id; none where it cannot be read."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return answers(cells, {name: question.stub for name, question in questions(lab).items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@dataclass
class Readings:
    """Which texts one student's points for answers in words are for.

    Attributes:
        path: Where this is kept.
        known: By grade id: `shown` and `read`, digests.
    """

    path: Path
    known: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, course: Path, lab: str, student: str) -> Readings:
        """What is known; nothing where there is no file, or a damaged one."""
        path = course / "grading" / "answers" / lab / f"{student}.json"
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, {str(name): {str(k): str(v) for k, v in row.items()} for name, row in known.items()})
        except (OSError, ValueError, AttributeError):
            return cls(path)

    def again(self, name: str, text: str, read: bool, renewed: bool) -> bool:
        """Whether an answer that has points is to be read (again), now that its text is `text`.

        Args:
            name: Grade id.
            text: The answer, "" if there is none.
            read: Whether a person has read what formgrader shows.
            renewed: Whether the notebook is another one, which decides where nothing is known.
        """
        now, row = _digest(text), self.known.setdefault(name, {})
        if read:
            row["read"] = row.get("shown", "" if renewed else now)
        row["shown"] = now
        return row.get("read") != now

    def keep(self) -> None:
        """Write it, after the gradebook: a kill in between makes an answer be read twice, never not at all."""
        text = json.dumps(self.known, indent=1, sort_keys=True) + "\n"
        if self.known and (not self.path.is_file() or self.path.read_text(encoding="utf-8") != text):
            write_atomically(self.path, text)


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
