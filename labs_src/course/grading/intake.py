"""`labs grade DIR`, first half: take submissions in. Every one is kept as it came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.layout import Owned, clean, owned
from labs_src.course.grading.listing import files
from labs_src.course.grading.reading import Unreadable, exercises_of, lab_of, read
from labs_src.course.learner import learner_copy

INDEX = "index.json"


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
        notes: What an instructor should know, as sentences.
        secret: nbgrader's submission secret, which its exchange needs to return feedback.
        place: What was taken in.
    """

    student: str
    given: str
    lab: str
    sha: str
    name: str
    when: str = ""
    sure: bool = False
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    secret: str = ""
    place: str = ""


class Intake:
    """Everything that a class handed in so far.

    Args:
        classroom: Where it is kept.
        labs: The labs that can be handed in.
    """

    def __init__(self, classroom: ClassFolder, labs: Sequence[Lab]):
        self.classroom = classroom
        self.labs = list(labs)
        self.arrivals = self._load()
        self._released: dict[str, list[Any]] = {}

    def take(self, place: Path, only: Lab | None = None) -> list[Arrival]:
        """Take in a folder or a zip.

        Args:
            place: What the students handed in.
            only: The lab that everything in it should be; by default each notebook says so itself.

        Returns:
            What was not there before.

        Raises:
            Problem: There is nothing in it, or it is no folder and no zip.
        """
        stem = place.resolve().name
        stem = stem.rsplit(".", 1)[0] if not place.is_dir() else stem
        rows = owned(files(place), stem, {lab.slug for lab in self.labs})
        if not rows:
            raise Problem(f"{shown(place)} is empty: there is nothing to grade in it.")
        ours = place.resolve() == self.classroom.submitted
        known = {(a.student, a.lab, a.sha, a.when, a.name, a.problem) for a in self.arrivals}
        written = self._written() if ours else {}
        new = []
        for student, given, notes, mine in self._students(rows):
            for arrival, data in self._of_student(student, given, mine, only):
                key = (arrival.student, arrival.lab, arrival.sha, arrival.when, arrival.name, arrival.problem)
                if key in known or (ours and written.get(arrival.name) == arrival.sha):
                    continue
                known.add(key)
                arrival.notes = [*notes, *arrival.notes]
                arrival.place = shown(place)
                if data is not None:
                    self._keep(arrival.sha, data)
                new.append(arrival)
        self.arrivals += new
        self._save()
        return new

    def _students(self, rows: list[Owned]) -> list[tuple[str, str, list[str], list[Owned]]]:
        """Rows by student: the gradebook's name, the name as given, what there is to say about it, the files."""
        by_name: dict[str, list[Owned]] = {}
        for row in rows:
            by_name.setdefault(row.owner, []).append(row)
        taken = {a.student.casefold(): a.given for a in self.arrivals}
        found = []
        for given, mine in sorted(by_name.items()):
            known = next((a.student for a in self.arrivals if a.given == given), None)
            student, notes, number = known or clean(given), [], 1
            while known is None and taken.get(student.casefold(), given) != given:
                number += 1
                other = taken[student.casefold()]
                student = f"{clean(given)}-{number}"
                notes = [f"{given!r} and {other!r} would be one name in the gradebook; this one is called {student}."]
            if student != given and not notes:
                notes = [f"The folder or file {given!r} is {student} in the gradebook."]
            taken[student.casefold()] = given
            found.append((student, given, notes, mine))
        return found

    def _of_student(
        self, student: str, given: str, rows: list[Owned], only: Lab | None
    ) -> list[tuple[Arrival, bytes | None]]:
        """What one student handed in."""
        found, asides = [], []
        secrets = {row.file.parts[:-1]: row.file.data for row in rows if row.file.parts[-1] == "submission_secret.txt"}
        for row in rows:
            name = row.file.parts[-1].lower()
            if row.file.problem and not name.endswith(".ipynb"):
                asides.append(f"{row.file.name} {row.file.problem}.")
            elif name.endswith(".ipynb") and not name.startswith("._"):
                arrival, data = self._notebook(student, given, row, only)
                secret = secrets.get(row.file.parts[:-1]) or b""
                arrival.secret = secret.decode("ascii", "ignore").strip()[:128]
                found.append((arrival, data))
        if not found:
            others = [
                row.file.name for row in rows if row.file.parts[-1] not in ("timestamp.txt", "submission_secret.txt")
            ]
            some = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
            nothing = f"There is no notebook in what was handed in ({some})." if others else "The folder is empty."
            problem = " ".join(asides) or nothing
            lab = only or next((lab for lab in self.labs if lab.slug == rows[0].assignment), None)
            return [
                (Arrival(student, given, lab.id if lab else "", "", others[0] if others else "", problem=problem), None)
            ]
        for arrival, _ in found:
            arrival.notes += asides
        return found

    def _notebook(self, student: str, given: str, row: Owned, only: Lab | None) -> tuple[Arrival, bytes | None]:
        data, name = row.file.data, row.file.parts[-1]
        sha = hashlib.sha256(data).hexdigest() if data is not None else ""
        arrival = Arrival(student, given, "", sha, row.file.name, row.when.isoformat() if row.when else "", row.sure)
        asked = only or next((lab for lab in self.labs if lab.slug == row.assignment), None)
        named = next((lab for lab in self.labs if lab.slug in row.file.parts[-1]), None)
        arrival.lab = (asked or named or self.labs[0]).id if asked or named or len(self.labs) == 1 else ""
        if row.file.problem:
            arrival.problem = f"{name} {row.file.problem}."
            return arrival, data
        try:
            notebook = read(data or b"")
        except Unreadable as reason:
            arrival.problem = f"{name} {reason}."
            return arrival, data
        lab = lab_of(notebook, self.labs)
        if lab is None:
            which = f"lab {arrival.lab}" if arrival.lab else "any lab"
            arrival.problem = f"{name} has none of the exercises of {which}: no function and no cell of it was found."
        elif asked and lab != asked:
            arrival.problem = f"{name} is lab {lab.id}'s notebook, handed in for lab {asked.id}."
        else:
            arrival.lab = lab.id
            if name != f"{lab.slug}.ipynb":
                arrival.notes.append(f"The file was called {name}.")
            if notebook.older:
                arrival.notes.append("The notebook is in an old format; its cells were taken over.")
            missing = exercises_of(lab) - notebook.functions - notebook.grade_ids
            if len(missing) > len(exercises_of(lab)) / 2:
                arrival.notes.append(f"{len(missing)} of {len(exercises_of(lab))} exercises are not in the notebook.")
        return arrival, data

    def _keep(self, sha: str, data: bytes) -> None:
        path = self.classroom.arrived / f"{sha}.ipynb"
        if not path.exists():
            write_atomically(path, data)

    def content(self, arrival: Arrival) -> bytes:
        """The file of an arrival, byte for byte as it came."""
        return (self.classroom.arrived / f"{arrival.sha}.ipynb").read_bytes()

    def released(self, lab_id: str) -> list[Any]:
        """The cells that students of a lab were given."""
        if lab_id not in self._released:
            lab = next(lab for lab in self.labs if lab.id == lab_id)
            self._released[lab_id] = learner_copy(lab).cells
        return self._released[lab_id]

    def _load(self) -> list[Arrival]:
        path = self.classroom.arrived / INDEX
        if not path.exists():
            return []
        try:
            return [Arrival(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise Problem(
                f"{shown(path)} is damaged ({error}). Move it away and take the submissions in again."
            ) from error

    def _save(self) -> None:
        rows = json.dumps([asdict(arrival) for arrival in self.arrivals], indent=1, ensure_ascii=False)
        write_atomically(self.classroom.arrived / INDEX, rows + "\n")

    def _written(self) -> dict[str, str]:
        """What `submit` put into `submitted/`, which is not to be taken in again."""
        folder, found = self.classroom.submitted, {}
        for path in folder.glob("*/*/*.ipynb"):
            if path.is_file() and not path.is_symlink() and path.with_name(".from-labs").exists():
                found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def when(arrival: Arrival) -> datetime | None:
    """When it was handed in, as far as that is known."""
    return datetime.fromisoformat(arrival.when) if arrival.when else None
