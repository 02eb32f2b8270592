"""`labs grade DIR`, first half: take submissions in. Every one is kept as it came."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading import arrivals as kept
from labs_src.course.grading.arrivals import Arrival
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.inbound import FORGOTTEN, inbound
from labs_src.course.grading.layout import Owned, clean, owned
from labs_src.course.grading.listing import files
from labs_src.course.grading.reading import Unreadable, exercises_of, lab_of, read
from labs_src.course.grading.roster import Roster
from labs_src.course.grading.slips import refuse
from labs_src.course.grading.spool import Spool
from labs_src.course.grading.submission import Note
from labs_src.course.learner import learner_copy

MARK = ".from-labs"
"""In a folder of `submitted/` that was written here, so that it is not taken in as a submission of its own."""
SPOOL = ".arriving"
NBGRADERS = ("timestamp.txt", "submission_secret.txt", MARK)


@dataclass
class Found:
    """One thing of a student's.

    Attributes:
        arrival: What the index will say.
        data: A notebook's bytes; None where there are none, or they wait in the spool.
        sign: Whether it shows that students handed something in here: it is a lab's notebook, or named as one.
    """

    arrival: Arrival
    data: bytes | None = None
    sign: bool = False


class Intake:
    """Everything that a class handed in so far.

    Args:
        classroom: Where it is kept.
        labs: The labs that can be handed in.

    Attributes:
        moved: Former ids of students whom the roster calls otherwise, with the roster's id.
    """

    def __init__(self, classroom: ClassFolder, labs: Sequence[Lab]):
        self.classroom = classroom
        self.labs = list(labs)
        self.roster = Roster.of(classroom.root)
        self.arrivals = kept.load(classroom.arrived)
        self.moved: dict[str, str] = {}
        for arrival in self.arrivals:
            student = self.roster.find(arrival.given) or arrival.student
            if student != arrival.student:
                self.moved[arrival.student] = student
                arrival.student = student
                arrival.notes = [note for note in arrival.notes if not note.text.startswith("The folder or file ")]
        self._released: dict[str, list[Any]] = {}

    def take(self, place: Path, only: Lab | None = None) -> list[Arrival]:
        """Take in a folder or a zip.

        Args:
            place: What the students handed in.
            only: The lab that everything in it should be; by default each notebook says so itself.

        Returns:
            What was not there before.

        Raises:
            Problem: Nothing in it looks handed in, or it is no folder and no zip. Nothing is recorded then.
        """
        ours = place.resolve() == self.classroom.submitted
        place = inbound(place, self.classroom)
        stem = place.resolve().name
        stem = stem.rsplit(".", 1)[0] if not place.is_dir() else stem
        slugs = {lab.slug for lab in self.labs}
        with Spool(self.classroom.arrived.parent / SPOOL) as spool:
            listed = [file for file in files(place, spool) if not (ours and file.parts[-1] == ".")]
            rows = owned(listed, stem, slugs)
            if ours:
                rows = self._collected(rows)
            elif not listed:
                raise Problem(f"{shown(place)} is empty: there is nothing to grade in it.")
            found = [
                (each, notes)
                for student, given, notes, mine in self._students(rows)
                for each in self._of_student(student, given, mine, only)
            ]
            if not ours and not place.resolve().is_relative_to(self.classroom.arrived.parent / FORGOTTEN):
                refuse(place, stem, rows, [each.sign for each, _ in found], [each.arrival for each, _ in found])
            known: dict[tuple[Any, ...], list[Arrival]] = {}
            for arrival in self.arrivals:
                known.setdefault(arrival.about, []).append(arrival)
            new = [each.arrival for each, notes in found if self._add(each, notes, place, spool, known)]
        if new or self.moved or not (self.classroom.arrived / kept.INDEX).exists():
            kept.save(self.classroom.arrived, self.arrivals)
        return new

    def _add(
        self, found: Found, notes: list[Note], place: Path, spool: Spool, known: dict[tuple[Any, ...], list[Arrival]]
    ) -> bool:
        """Keep one thing, and record it unless it is there already."""
        arrival = found.arrival
        target = self.classroom.arrived / arrival.file
        if arrival.other and arrival.sha:
            spool.keep(arrival.sha, target)
        elif found.data is not None and not target.exists():
            write_atomically(target, found.data)
        alike = known.setdefault(arrival.about, [])
        for before in alike:
            if kept.same(before, arrival):
                before.secret = before.secret or arrival.secret
                return False
        alike.append(arrival)
        arrival.notes = [*notes, *arrival.notes]
        arrival.place = shown(place)
        self.arrivals.append(arrival)
        return True

    def _collected(self, rows: list[Owned]) -> list[Owned]:
        """Of what lies in `submitted/`: what was not put there from here."""
        return [
            row
            for row in rows
            if row.file.parts[-1] != MARK
            and not self.classroom.submitted.joinpath(*row.file.parts).with_name(MARK).exists()
        ]

    def _students(self, rows: list[Owned]) -> list[tuple[str, str, list[Note], list[Owned]]]:
        """Rows by student: the gradebook's name, the name as given, what there is to say about it, the files."""
        by_name: dict[str, list[Owned]] = {}
        for row in rows:
            by_name.setdefault(row.owner, []).append(row)
        taken = {a.student.casefold(): a.given for a in self.arrivals}
        found = []
        for given, mine in sorted(by_name.items()):
            platform = mine[0].platform
            listed = self.roster.find(given)
            known = listed or next((a.student for a in self.arrivals if a.given == given), None)
            student, said, number = known or clean(given, platform), "", 1
            while known is None and taken.get(student.casefold(), given) != given:
                number += 1
                other = taken[student.casefold()]
                student = f"{clean(given, platform)}-{number}"
                said = f"{given!r} and {other!r} would be one name in the gradebook; this one is called {student}."
            if student != given and not (said or listed or platform):
                said = f"The folder or file {given!r} is {student} in the gradebook."
            taken.setdefault(student.casefold(), given)
            found.append((student, given, [Note("renamed", said)] if said else [], mine))
        return found

    def _of_student(self, student: str, given: str, rows: list[Owned], only: Lab | None) -> list[Found]:
        """What one student handed in."""
        notebooks, others, asides = [], [], []
        secrets = {row.file.parts[:-1]: row.file.data for row in rows if row.file.parts[-1] == "submission_secret.txt"}
        for row in rows:
            file, name = row.file, row.file.parts[-1]
            if name.lower().endswith(".ipynb") and not name.startswith("._"):
                one = self._notebook(student, given, row, only)
                secret = secrets.get(file.parts[:-1]) or b""
                one.arrival.secret = secret.decode("ascii", "ignore").strip()[:128]
                notebooks.append(one)
                continue
            if file.problem:
                asides.append(f"{row.called} {file.problem}.")
            if name not in NBGRADERS and name != ".":
                others.append((row, self._other(student, given, row, only)))
        if not notebooks:
            names = [row.called for row, _ in others]
            some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            nothing = f"There is no notebook in what was handed in ({some})." if names else "The folder is empty."
            lab = only or next((lab for lab in self.labs if lab.slug == rows[0].assignment), None)
            arrival = Arrival(student, given, lab.id if lab else "", "", names[0] if names else "")
            arrival.problem = " ".join(asides) or nothing
            notebooks = [Found(arrival, sign=rows[0].platform is not None or rows[0].assignment is not None)]
        else:
            for one in notebooks:
                one.arrival.notes += [Note("note", text) for text in asides]
        for one in notebooks:
            if any(row.platform and row.platform.late for row in rows if row.file.name == one.arrival.name):
                one.arrival.notes.append(Note("late", "The platform marked it as late."))
        return notebooks + [Found(arrival) for _, arrival in others if arrival.sha]

    def _other(self, student: str, given: str, row: Owned, only: Lab | None) -> Arrival:
        """A file that is kept, and never graded."""
        lab = only or next((lab for lab in self.labs if lab.slug == row.assignment), None)
        stamp = row.when.isoformat() if row.when else ""
        found = Arrival(student, given, lab.id if lab else "", row.file.sha, row.file.name, stamp, row.sure, other=True)
        found.problem = "Kept, not graded."
        return found

    def _notebook(self, student: str, given: str, row: Owned, only: Lab | None) -> Found:
        data, name = row.file.data, row.called
        sha = hashlib.sha256(data).hexdigest() if data is not None else ""
        arrival = Arrival(student, given, "", sha, row.file.name, row.when.isoformat() if row.when else "", row.sure)
        asked = only or next((lab for lab in self.labs if lab.slug == row.assignment), None)
        called = next((lab for lab in self.labs if lab.slug in row.file.parts[-1]), None)
        arrival.lab = (asked or called or self.labs[0]).id if asked or called or len(self.labs) == 1 else ""
        found = Found(arrival, data, sign=bool(called or row.platform or row.assignment))
        if row.file.problem:
            arrival.problem = f"{name} {row.file.problem}."
            return found
        try:
            notebook = read(data or b"")
        except Unreadable as reason:
            arrival.problem = f"{name} {reason}."
            return found
        lab = lab_of(notebook, self.labs)
        if lab is None:
            which = f"lab {arrival.lab}" if arrival.lab else "any lab"
            arrival.problem = f"{name} has none of the exercises of {which}: no function and no cell of it was found."
            return found
        found.sign = True
        if asked and lab != asked:
            arrival.problem = f"{name} is lab {lab.id}'s notebook, handed in for lab {asked.id}."
            return found
        arrival.lab = lab.id
        if name != f"{lab.slug}.ipynb":
            arrival.notes.append(Note("renamed", f"The file was called {name}."))
        if notebook.older:
            arrival.notes.append(Note("note", "The notebook is in an old format; its cells were taken over."))
        missing = exercises_of(lab) - notebook.functions - notebook.grade_ids
        if len(missing) > len(exercises_of(lab)) / 2:
            said = f"{len(missing)} of {len(exercises_of(lab))} exercises are not in the notebook."
            arrival.notes.append(Note("note", said))
        return found

    def content(self, arrival: Arrival) -> bytes:
        """The file of an arrival, byte for byte as it came."""
        return (self.classroom.arrived / arrival.file).read_bytes()

    def released(self, lab_id: str) -> list[Any]:
        """The cells that students of a lab were given."""
        if lab_id not in self._released:
            lab = next(lab for lab in self.labs if lab.id == lab_id)
            self._released[lab_id] = learner_copy(lab).cells
        return self._released[lab_id]
