"""Whose file is it? From the layout: nbgrader's trees, a folder or a zip for each student, a flat folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from labs_src.course.grading.listing import File
from labs_src.course.grading.platforms import Named, named

# What nbgrader's exchange calls a submission: student+assignment+timestamp[+random].
EXCHANGE = re.compile(r"^(?P<student>.+)\+(?P<assignment>[^+]+)\+(?P<when>\d{4}-\d\d-\d\d[ T_][^+]*)(?:\+[^+]*)?$")
# Words that say nothing about who: a file called lab2_final(1).ipynb in a flat folder.
NOBODY = re.compile(
    r"(?i)copy of|copy|kopie|final|new|lab|homework|hw|assignment|solutions?|submissions?|submitted|notebooks?|untitled"
    r"|work|v\d+|\(\d+\)|\d{1,2}(?!\d)"
)
GENERIC = {"work", "notebooks", "notebook", "submission", "submissions", "submitted", "home", "labs", "release"}
GENERIC |= {"source", "autograded", "class"}
"""Folders that are called after what is in them, and not after a student."""
GIVEN_OUT = {"outbound", "feedback", "cache"}
"""What lies in nbgrader's exchange beside `inbound`: never anything that was handed in."""


@dataclass(frozen=True)
class Owned:
    """A file and whose it is.

    Attributes:
        owner: The student's name as the layout gives it.
        file: What was handed in.
        assignment: The lab that nbgrader's folder names, if it is one of nbgrader's.
        when: When it was handed in: nbgrader's timestamp, else the file's own date.
        sure: Whether that is nbgrader's timestamp.
        platform: What Moodle or Canvas say in the name.
    """

    owner: str
    file: File
    assignment: str | None = None
    when: datetime | None = None
    sure: bool = False
    platform: Named | None = None

    @property
    def called(self) -> str:
        """The file's own name, without what a platform put in front of it."""
        name = self.file.parts[-1]
        at_file = self.platform is not None and self.platform.own and named(name) is not None
        return self.platform.own if at_file else name


def owned(found: Iterable[File], place: str, slugs: Collection[str]) -> list[Owned]:
    """Every file with its owner.

    Args:
        found: All files of one place.
        place: The place's own name, without .zip or .ipynb.
        slugs: Names of assignments.
    """
    everything = _without_given_out(list(found))
    sound = [file for file in everything if file.problem is None]
    skip, by_file = _students_at(sound, place, slugs)
    rows = []
    for file in everything:
        exchange = next((m for part in file.parts[:-1] if (m := EXCHANGE.match(part))), None)
        at = next((i for i, part in enumerate(file.parts[:-1]) if part in slugs), None)
        platform = next(filter(None, map(named, file.parts)), None)
        if exchange:
            assignment = exchange["assignment"] if exchange["assignment"] in slugs else None
            rows.append(Owned(exchange["student"], file, assignment, timestamp(exchange["when"]), True))
        elif platform:
            rows.append(Owned(platform.given, file, None, file.when, platform=platform))
        elif at is not None and (at > 0 or place not in GENERIC):
            rows.append(Owned(file.parts[at - 1] if at else place, file, file.parts[at], file.when))
        elif by_file:
            rows.append(Owned(_person(file.parts[-1], slugs) or place, file, None, file.when))
        else:
            rows.append(Owned(file.parts[skip] if len(file.parts) > skip + 1 else place, file, None, file.when))
    return _with_timestamps([row for row in rows if row.owner.casefold() not in GIVEN_OUT])


def _without_given_out(found: list[File]) -> list[File]:
    """The files, without what lies beside `inbound` in an exchange."""
    places = {f.parts[:i] for f in found for i, part in enumerate(f.parts[:-1]) if part == "inbound"}
    return [f for f in found if not any(f.parts[: len(p)] == p and f.parts[len(p)] in GIVEN_OUT for p in places)]


def _students_at(sound: Sequence[File], place: str, slugs: Collection[str]) -> tuple[int, bool]:
    """How many folders lie around the students' folders; and whether files in one folder are a student each."""
    folders = [file.parts[:-1] for file in sound if file.parts[-1].lower().endswith(".ipynb")]
    if not folders:
        folders = [file.parts[:-1] for file in sound]
    shared = 0
    while folders and all(len(f) > shared for f in folders) and len({f[shared] for f in folders}) == 1:
        shared += 1
    if all(len(f) == shared for f in folders):  # no folders below: one student, or a flat folder of a class
        notebooks = [file.parts[-1] for file in sound if file.parts[-1].lower().endswith(".ipynb")]
        named = [_person(name, slugs) for name in notebooks]
        if len(notebooks) > 1 and all(named) and len(set(named)) > 1:
            return shared, True
        if shared == 0 or folders[0][shared - 1].lower() in GENERIC or folders[0][shared - 1] in slugs:
            return 99, False  # the place itself is the student
        return shared - 1, False
    return shared, False


def _person(name: str, slugs: Collection[str]) -> str:
    """The student in a file's name, when there is one."""
    stem = name[: -len(".ipynb")] if name.lower().endswith(".ipynb") else name
    for slug in slugs:
        stem = stem.replace(slug, " ").replace(slug[3:], " ")
    return NOBODY.sub(" ", stem.replace("_", " ")).strip(" .-+,()[]")


def _with_timestamps(rows: list[Owned]) -> list[Owned]:
    """The rows, those beside a timestamp.txt dated by it."""
    stamps = {row.file.parts[:-1]: row.file.data for row in rows if row.file.parts[-1] == "timestamp.txt"}
    dated = []
    for row in rows:
        text = (stamps.get(row.file.parts[:-1]) or b"").decode("utf-8", "replace").strip()
        when = timestamp(text) if text else None
        dated.append(replace(row, when=when, sure=True) if when else row)
    return dated


def timestamp(text: str) -> datetime | None:
    """nbgrader's "2026-11-02 15:58:23.948203 UTC" as naive UTC; None when it is not a time."""
    from nbgrader.utils import parse_utc

    try:
        return parse_utc(text.replace("_", " "))
    except (ValueError, OverflowError, TypeError):
        return None


def clean(name: str, platform: Named | None = None) -> str:
    """A student's name as the gradebook can hold it, and a folder can be called: letters, digits and . _ @ -

    Args:
        name: As given.
        platform: Where a platform gave it: the name part and the platform's number, which is kept whole.
    """
    if platform is not None:
        return f"{clean(platform.name)[: 63 - len(platform.number)].rstrip('-.')}-{platform.number}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._@-]+", "-", plain).lstrip("-._@")[:64].rstrip("-.")
    return plain or "student"
