"""`students.csv` of a class: who is who. Optional; without it a student is called what the platform calls them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.platforms import named, parted

FILE = "students.csv"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
EXAMPLE = 'It should look like this: a first line "id,name,also", then a line such as "ann,Ann Lee,alee;48213".'


@dataclass(frozen=True)
class Student:
    """A line of the roster.

    Attributes:
        id: The gradebook's.
        name: In full, "Ann Lee" or "Lee, Ann"; "" where it is not known.
        also: What platforms call the student.
        line: In the file.
    """

    id: str
    name: str
    also: tuple[str, ...]
    line: int

    @property
    def first_last(self) -> tuple[str, str]:
        """First and last name, as the gradebook keeps them."""
        last, comma, first = (part.strip() for part in self.name.partition(","))
        if comma:
            return first, last
        first, _, last = self.name.rpartition(" ")
        return first, last


class Roster:
    """Everybody in a class.

    Args:
        students: From the file; none where there is no file.
    """

    def __init__(self, students: Iterable[Student] = ()):
        self.students = {student.id: student for student in students}
        everybody = self.students.values()
        # Of two that fit, the earlier kind decides; a name that fits two students decides nothing.
        self._kinds = [
            _index((name.casefold(), s.id) for s in everybody for name in (s.id, *s.also)),
            _index((_loose(name), s.id) for s in everybody for name in (s.id, *s.also)),
            _index((_loose(s.name), s.id) for s in everybody),
            _index((text, s.id) for s in everybody for text in _turned(s.name)),
        ]

    @classmethod
    def of(cls, root: Path) -> Roster:
        """The roster of the class in `root`.

        Raises:
            Problem: The file is malformed, or names a student twice.
        """
        path = root / FILE
        return cls(_students(path)) if path.exists() else cls()

    def find(self, given: str) -> str | None:
        """The id of the student whom a folder, a file or a platform calls `given`; None when nobody or several fit."""
        said = named(given)
        name, number = parted(said.given if said else given)
        tries = [given]
        if number:
            tries += [f"{name}-{number}", name]
            if len(ids := self._kinds[0].get(number, set())) == 1:
                return next(iter(ids))
        for key in tries:
            for kind, text in zip(self._kinds, (key.casefold(), *[_loose(key)] * 3), strict=True):
                ids = kind.get(text, set())
                if len(ids) == 1:
                    return next(iter(ids))
                if ids:
                    break
        return None

    def enter(self, url: str) -> None:
        """Put everybody into the gradebook, with first and last name; nobody is taken out.

        Args:
            url: The gradebook's.
        """
        from labs_src.course.grading.gradebook import opened

        if not self.students:
            return
        with opened(url) as book:
            there = {student.id: (student.first_name, student.last_name) for student in book.students}
            for student in self.students.values():
                first, last = student.first_last
                if student.id not in there or (student.name and there[student.id] != (first, last)):
                    names = {"first_name": first, "last_name": last} if student.name else {}
                    book.update_or_create_student(student.id, **names)


def _students(path: Path) -> list[Student]:
    where = shown(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError:
        raise Problem(f"{where} is not text in UTF-8. Save it as CSV (UTF-8).") from None
    except (csv.Error, OSError) as error:
        raise Problem(f"{where} cannot be read: {error}. {EXAMPLE}") from None
    head = [title.strip().casefold() for title in rows[0]] if rows else []
    if "id" not in head or "name" not in head:
        commas = " Its columns have to be separated by commas." if len(head) == 1 and ";" in head[0] else ""
        raise Problem(f"{where} has no columns id and name in its first line.{commas} {EXAMPLE}")
    found: list[Student] = []
    taken: dict[str, Student] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not any(field.strip() for field in row):
            continue
        if len(row) > len(head):
            raise Problem(
                f"{where}, line {line}: more columns than in the first line. Put a name with a comma in quotes."
            )
        fields: Mapping[str, str] = {title: " ".join(field.split()) for title, field in zip(head, row, strict=False)}
        also = tuple(filter(None, (name.strip() for name in fields.get("also", "").split(";"))))
        student = Student(fields.get("id", ""), fields.get("name", ""), also, line)
        if not ID.fullmatch(student.id):
            raise Problem(
                f"{where}, line {line}: {student.id!r} cannot be an id. Use at most 64 letters, digits and . _ @ -"
            )
        for name in dict.fromkeys(name.casefold() for name in (student.id, *also)):
            if name in taken:
                other = taken[name]
                raise Problem(
                    f"{where}: {name!r} stands for {other.id} (line {other.line}) and {student.id} (line {line})."
                )
            taken[name] = student
        found.append(student)
    return found


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for text, student in pairs:
        if text:
            found.setdefault(text, set()).add(student)
    return found


def _loose(name: str) -> str:
    """A name without what platforms change in it: case, and what stands between words."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _turned(name: str) -> list[str]:
    """Other ways to write a name: Canvas makes leeann of Ann Lee; accents are lost; the last name stands first."""
    words = _loose(name).split()
    if "," in name:
        words = _loose(name.partition(",")[2]).split() + _loose(name.partition(",")[0]).split()
    if not words:
        return []
    ways = []
    for order in (words, [*words[-1:], *words[:-1]]):
        ways += [" ".join(order), "".join(order)]
    plain = [unicodedata.normalize("NFKD", way).encode("ascii", "ignore").decode() for way in ways]
    return [*ways, *plain]
