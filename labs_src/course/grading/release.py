"""`labs release`: the students' versions, through nbgrader, from the same sources as the learners' copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import notebook_text, read_source, write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.printed import number

NEW = ".release-new"


def release(
    only: Sequence[str] | None,
    classroom: ClassFolder,
    folders: Folders | None = None,
    due: datetime | None = None,
) -> list[Path]:
    """Make the students' versions of some labs, and their assignments in the gradebook.

    A release that was there is replaced only once the new one is complete. Nobody's submissions are touched.

    Args:
        only: Lab ids; all when empty.
        classroom: Where to.
        folders: The course's own folders.
        due: Deadline, in UTC without a timezone (as nbgrader keeps it).

    Returns:
        The released notebooks.

    Raises:
        Problem: A solution would go out; points and checks disagree; nbgrader refuses (its reason is given).
    """
    labs = select(only, folders or Folders.default())
    classroom.make()
    released = []
    for lab in labs:
        source = read_source(lab.source)
        _same_points(lab, source)
        write_atomically(classroom.source / lab.slug / f"{lab.slug}.ipynb", notebook_text(source))
        _generate(lab, classroom)
        target, new = classroom.release / lab.slug, classroom.root / NEW / lab.slug
        old = target.with_name(f".{lab.slug}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
        shutil.rmtree(old, ignore_errors=True)
        if due is not None:
            _set_due(lab, classroom, due)
        released.append(target / f"{lab.slug}.ipynb")
    shutil.rmtree(classroom.root / NEW, ignore_errors=True)
    return released


def summary(lab: Lab) -> str:
    """What a release asks for, in a line."""
    cells = [cell.metadata.get("nbgrader", {}) for cell in read_source(lab.source).cells]
    auto = [cell["points"] for cell in cells if cell.get("grade") and not cell.get("solution")]
    written = [cell["points"] for cell in cells if cell.get("grade") and cell.get("solution")]
    line = f"{number(len(auto), 'exercise')}, {number(sum(auto), 'point')}"
    return line + (f"; to read: {number(len(written), 'answer')}, {number(sum(written), 'point')}" if written else "")


def _generate(lab: Lab, classroom: ClassFolder) -> None:
    """nbgrader's own generate_assignment, into a folder beside the releases."""
    import logging

    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = classroom.config()
    config.merge(Config({"CourseDirectory": {"release_directory": NEW}}))
    shutil.rmtree(classroom.root / NEW / lab.slug, ignore_errors=True)
    api = NbGraderAPI(config=config)
    api.log_level = logging.ERROR
    result = api.generate_assignment(lab.slug, force=True, create=True)
    if result["success"]:
        return
    said = [line.partition("] ")[2] or line for line in result.get("log", "").splitlines()]
    reason = next((line for line in reversed(said) if "Error: " in line or "Problem: " in line), None)
    reason = (reason or result.get("error", "").strip().splitlines()[-1]).rpartition("Error: ")[2]
    if "submissions associated" in reason:
        reason += ". Students have handed it in with other exercises: release it from the version that they had"
    raise Problem(f"Lab {lab.id} was not released, the former release stays: {reason}.")


def _same_points(lab: Lab, source: Any) -> None:
    """Every exercise has a cell that is graded, worth what its check gives.

    Raises:
        Problem: Names what differs.
    """
    from labs_src import checks

    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in source.cells}
    for exercise in checks.exercises(lab.id) if lab.id in checks.lab_ids() else ():
        if exercise.given or exercise.name not in cells:
            continue
        cell = cells.get(f"check_{exercise.name}")
        points = cell.metadata["nbgrader"].get("points") if cell else None
        if points != exercise.points:
            said = "has no graded cell check_" + exercise.name if cell is None else f"says {points} points"
            raise Problem(f"Lab {lab.id}: the check of {exercise.name} gives {exercise.points} points, the lab {said}.")


def _set_due(lab: Lab, classroom: ClassFolder, due: datetime) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(classroom.db_url) as gradebook:
        gradebook.update_or_create_assignment(lab.slug, duedate=due)
