"""Who handed in what, from the names that Moodle and Canvas give to files and folders."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Erin Moodle_48213_assignsubmission_file_ (a folder), or in front of the file's own name where there are no folders.
MOODLE = re.compile(r"^(?P<name>[^_].*?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)(?:_(?P<own>.*))?$")
# smithjane_LATE_12345_67890_name.ipynb: the person's number, then the upload's. Three digits: ann_02_03_x is no Canvas.
CANVAS = re.compile(r"^(?P<name>[^\W\d_][^_]*)_(?P<late>LATE_)?(?P<number>\d{3,})_\d{3,}_(?P<own>.+)$")
AGAIN = re.compile(r"-\d{1,3}(?=\.\w+$)")
"""What Canvas adds to the name of a file that is handed in again."""


@dataclass(frozen=True)
class Named:
    """What a platform's name for a file or folder says.

    Attributes:
        name: The student's, as the platform writes it.
        number: The platform's number for the student: two students of one name have two.
        own: The file's own name; "" for a folder.
        late: Whether the platform marked it late.
    """

    name: str
    number: str
    own: str = ""
    late: bool = False

    @property
    def given(self) -> str:
        """The same for everything that this student hands in."""
        return f"{self.name} #{self.number}"


def parted(given: str) -> tuple[str, str]:
    """`Named.given` in its name and number; no number for what is no platform's."""
    name, _, number = given.rpartition(" #")
    return (name, number) if name and number.isdigit() else (given, "")


def named(part: str) -> Named | None:
    """What one part of a path says; None when no platform made it."""
    if found := MOODLE.match(part):
        return Named(found["name"].strip(), found["number"], (found["own"] or "").strip())
    if found := CANVAS.match(part):
        return Named(found["name"], found["number"], AGAIN.sub("", found["own"]), found["late"] is not None)
    return None
