"""nbgrader's exchange: of all that lies in it only `inbound/` was handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.arrivals import when
from labs_src.course.grading.classfolder import FILE, ClassFolder
from labs_src.course.grading.layout import EXCHANGE, GIVEN_OUT, clean, timestamp

USUAL = "/usr/local/share/nbgrader/exchange"
"""Where nbgrader keeps its exchange when nothing else is configured."""
OURS = ("source", "release", "autograded", "feedback", "grading")
FORGOTTEN = "forgotten"


def inbound(place: Path, classroom: ClassFolder) -> Path:
    """Where in a place submissions lie: `inbound/` of an exchange or of a course in it; else the place itself.

    Raises:
        Problem: It is the class's own folder; it is what an exchange gives out; the exchange has several courses.
    """
    whole, root = place.resolve(), classroom.root
    inside = whole.relative_to(root).parts if whole.is_relative_to(root) else None
    if inside is not None and (not inside or (inside[0] in OURS and inside[:2] != ("grading", FORGOTTEN))):
        raise Problem(
            f"{shown(place)} belongs to the class itself: nobody handed it in. What nbgrader's collect put into "
            f"{shown(classroom.submitted)} is graded without being named: labs grade"
        )
    if not place.is_dir():
        return place
    if whole.name in GIVEN_OUT and (whole.parent / "inbound").is_dir():
        raise Problem(f"{shown(place)} is what the exchange gives out. Handed in is: {shown(whole.parent / 'inbound')}")
    if _is_course(place):
        return place / "inbound"
    try:
        courses = {child.name: child for child in sorted(place.iterdir()) if _is_course(child)}
    except OSError:
        return place
    if not courses:
        return place
    if classroom.course_id not in courses and len(courses) > 1:
        raise Problem(
            f"{shown(place)} is an exchange of several courses ({', '.join(courses)}), and none is "
            f"{classroom.course_id}. Give the folder inbound of one of them."
        )
    return courses.get(classroom.course_id, next(iter(courses.values()))) / "inbound"


def newer(intake: Any) -> tuple[Path, list[tuple[str, str]]]:
    """What lies in the class's exchange and has not been taken in, which `nbgrader collect` may have passed over.

    Args:
        intake: An `Intake`.

    Returns:
        The exchange's folder, and student and lab of each.
    """
    place = _exchange(intake.classroom) / intake.classroom.course_id / "inbound"
    slugs = {lab.slug: lab.id for lab in intake.labs}
    found = set()
    try:
        names = [entry.name for entry in place.iterdir() if entry.is_dir()]
    except OSError:
        return place, []
    for said in filter(None, map(EXCHANGE.match, names)):
        lab, stamp = slugs.get(said["assignment"]), timestamp(said["when"])
        student = intake.roster.find(said["student"]) or clean(said["student"])
        mine = [a for a in intake.arrivals if (a.lab, a.given) == (lab, said["student"]) or a.student == student]
        mine = [a for a in mine if a.lab in (lab, "") and a.sure and a.when]
        if lab and stamp and not any(when(arrival) >= stamp for arrival in mine):
            found.add((student, lab))
    return place, sorted(found)


def _is_course(folder: Path) -> bool:
    """Whether it is a course in an exchange."""
    try:
        return (folder / "inbound").is_dir() and any((folder / name).is_dir() for name in ("outbound", "feedback"))
    except OSError:
        return False


def _exchange(classroom: ClassFolder) -> Path:
    """The folder that the class's own configuration names, else the usual one."""
    path = classroom.root / FILE
    if path.exists():
        from traitlets.config.loader import PyFileConfigLoader

        try:
            loaded = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
        except Exception as error:
            raise Problem(f"{shown(path)} cannot be read: {error}. Put it right, or move it away.") from error
        if "root" in loaded.Exchange:
            return Path(loaded.Exchange.root)
    return Path(USUAL)
