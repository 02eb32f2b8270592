"""Results on disk: a file for each student and lab, written whole, read again when nothing that decides has changed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.submission import NOTES, Attention, Note, Result, Submission

SHARED = ("contract.py", "compare.py", "crossing.py")
TOTAL = "total of the checks"
"""The last line of each student and lab in `marks.csv`; with what people gave it is in `gradebook.csv`."""


@dataclass(frozen=True)
class Change:
    """An automatic mark that is not what it was.

    Attributes:
        student: Whose.
        lab: Two digits.
        exercise: Which.
        before: Points; None where there were none.
        after: Points.
        why: "the check changed" or "another submission".
    """

    student: str
    lab: str
    exercise: str
    before: int | None
    after: int | None
    why: str


class Store:
    """The folder `grading/` of a class.

    Args:
        course: The class's folder.
    """

    def __init__(self, course: Path):
        self.folder = course / "grading"

    def seed(self, given: str | None = None) -> str:
        """What hidden inputs are made from: drawn once, and kept, so that grading again gives the same marks.

        Raises:
            Problem: The file is damaged.
        """
        path = self.folder / "seed.json"
        if given is None and path.exists():
            try:
                return str(json.loads(path.read_text(encoding="utf-8"))["seed"])
            except (ValueError, KeyError, TypeError) as error:
                raise Problem(f"{shown(path)} is damaged; remove it, and all marks are made anew.") from error
        seed = given or secrets.token_hex(16)
        write_atomically(path, json.dumps({"seed": seed}) + "\n")
        path.chmod(0o600)
        return seed

    def read(self, lab: str, student: str) -> Result | None:
        """The result of a former grading; None when there is none that can be read."""
        try:
            data = json.loads(self._path(lab, student).read_text(encoding="utf-8"))
            return Result.from_json(data["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, result: Result) -> None:
        """Keep a result, whole or not at all."""
        text = json.dumps({"result": result.to_json()}, indent=1, ensure_ascii=False)
        write_atomically(self._path(result.lab, result.student), text + "\n")

    def all(self) -> list[Result]:
        """Every result, by lab and student."""
        found = (self.read(path.parent.name, path.stem) for path in sorted((self.folder / "results").glob("*/*.json")))
        return [result for result in found if result is not None]

    def log(self, changes: Iterable[Change]) -> None:
        """Add to `changes.csv`, which is a history."""
        changes = list(changes)
        if not changes:
            return
        path = self.folder / "changes.csv"
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        rows = [(now, c.student, c.lab, c.exercise, _number(c.before), _number(c.after), c.why) for c in changes]
        head = () if path.exists() else (("time (UTC)", "student", "lab", "exercise", "before", "after", "why"),)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        write_atomically(path, old + _csv([*head, *rows]))

    def tables(self, results: Sequence[Result], further: Sequence[Attention] = ()) -> tuple[Path, Path, Path]:
        """Write `marks.csv`, `criteria.csv` and `attention.csv`; returns where they are.

        Args:
            results: Of everybody.
            further: Rows of the needs-attention list that belong to no result.
        """
        marks: list[tuple] = [("student", "lab", "exercise", "points", "of", "state")]
        criteria: list[tuple] = [("student", "lab", "exercise", "criterion", "passed", "points", "of", "message")]
        rows: list[tuple] = [("student", "lab", "exercise", "kind", "message")]
        rows += [(a.student, a.lab, a.exercise, a.kind, a.message) for a in further]
        for result in results:
            for e in result.exercises:
                marks.append((result.student, result.lab, e.name, _number(e.points), e.max_points, e.state))
                for c in e.criteria:
                    passed = "yes" if c["passed"] else "no"
                    line = (c["name"], passed, c["points"], c["max_points"], c["message"])
                    criteria.append((result.student, result.lab, e.name, *line))
            whole = [e.points for e in result.exercises]
            total = None if None in whole else sum(whole)
            marks.append((result.student, result.lab, TOTAL, _number(total), result.max_points, result.state))
            rows += [(a.student, a.lab, a.exercise, a.kind, a.message) for a in result.attention]
        paths = tuple(self.folder / f"{name}.csv" for name in ("marks", "criteria", "attention"))
        for path, table in zip(paths, (marks, criteria, rows), strict=True):
            write_atomically(path, _csv(table))
        return paths

    def _path(self, lab: str, student: str) -> Path:
        return self.folder / "results" / lab / f"{student}.json"


def load(course: Path) -> list[Result]:
    """Every result of a class."""
    return Store(course).all()


def checks_hash(lab: str, seed: str, limits: Limits) -> str:
    """sha256 of what decides a lab's marks: its checks, what runs submissions, the seed, the limits."""
    from labs_src import checks
    from labs_src.course.grading import inside

    folder, runner = Path(checks.__file__).parent, Path(inside.__file__).parent
    files = [*sorted(folder.glob(f"lab{lab}*.py")), *sorted(folder.glob("probes*.py"))]
    files += [*(folder / name for name in SHARED), *sorted(runner.glob("*.py"))]
    digest = hashlib.sha256(f"{seed}/{json.dumps(limits.to_json())}".encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def usable(result: Result | None, submission: Submission, checks: str, unsafe: bool) -> bool:
    """Whether a former result is what grading now would give."""
    if result is None or result.state == "died":
        return False
    same = result.submission == hashlib.sha256(submission.content or b"").hexdigest()
    problem = submission.problem is not None or submission.content is None
    return same and result.checks == checks and result.unsafe == unsafe and (result.state == "problem") == problem


def with_notes(result: Result, submission: Submission) -> Result:
    """A former result with today's notes about the submission (it may have become late, or no longer be)."""
    kept = [row for row in result.attention if row.kind not in NOTES]
    notes = [Attention(result.student, result.lab, "", *Note.of(note)) for note in submission.notes]
    return replace(result, attention=tuple(notes + kept))


def changes(before: Result | None, after: Result) -> list[Change]:
    """What a new result changed."""
    if before is None or after.state == "died":
        return []
    why = "the check changed" if before.submission == after.submission else "another submission"
    old = {exercise.name: exercise.points for exercise in before.exercises}
    return [
        Change(after.student, after.lab, e.name, old.get(e.name), e.points, why)
        for e in after.exercises
        if old.get(e.name) != e.points
    ]


def _number(points: int | None) -> str | int:
    return "" if points is None else points


def _csv(rows: Iterable[tuple]) -> str:
    """Rows as CSV; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{v}" if isinstance(v, str) and v[:1] in tuple("=+-@\t\r") else v for v in row])
    return text.getvalue()
