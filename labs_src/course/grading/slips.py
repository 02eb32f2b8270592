"""A wrong folder on the command line must not make students."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.grading.arrivals import Arrival
from labs_src.course.grading.layout import GENERIC, Owned


def refuse(place: Path, stem: str, rows: Sequence[Owned], signs: Iterable[bool], found: Iterable[Arrival]) -> None:
    """Raise unless students handed in what lies in a place.

    Args:
        place: What was given to `labs grade`.
        stem: Its name, without .zip.
        rows: Its files, with owners.
        signs: Of each thing found, whether it is a lab's notebook or is named as one.
        found: The things found.

    Raises:
        Problem: Nothing in it is a notebook of a lab, or nothing says whose it is.
    """
    if not rows:
        raise Problem(f"Nothing in {shown(place)} was handed in: it holds only what an exchange gives out.")
    if not any(signs):
        why = next((arrival.problem for arrival in found if arrival.problem), "")
        raise Problem(f"There is no notebook of a lab in {shown(place)}, so nothing was taken in. {why}".rstrip())
    if stem.casefold() in GENERIC and {row.owner for row in rows} == {stem}:
        raise Problem(
            f"Nothing in {shown(place)} says who handed it in, so nothing was taken in. "
            "Put it into a folder, or a zip, that is called after the student."
        )
