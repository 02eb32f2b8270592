"""Results without running anything, for tests of what happens to results: the verdict is written in the notebook."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from pathlib import Path

from labs_src.checks import exercises
from labs_src.course.catalogue import select
from labs_src.course.grading import grade as engine
from labs_src.course.grading.submission import Attention, ExerciseResult, Result, Submission
from labs_src.course.learner import learner_copy

LAB = "01"
NAMES = [exercise.name for exercise in exercises(LAB)]


@functools.cache
def _released():
    return learner_copy(select([LAB])[0])


def handed_in(student: str, points: int, answer: str | None = None, **fields) -> Submission:
    """A submission that the made-up judge gives `points` for its first exercise.

    Args:
        student: Whose.
        points: 0 or more.
        answer: To the hand-graded question; None leaves it as released.
    """
    cells = []
    for cell in _released().cells:
        data = cell.metadata.get("nbgrader", {})
        text = cell.source
        if data.get("grade") and data.get("solution") and answer is not None:
            text = answer
        cells.append(
            {"cell_type": cell.cell_type, "source": text, "metadata": {"nbgrader": dict(data)} if data else {}}
        )
    cells.append({"cell_type": "markdown", "source": f"POINTS={points}", "metadata": {}})
    data = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    return Submission(student, LAB, json.dumps(data).encode(), **fields)


class FakeJudge:
    """Stands where `grade.Judge` does."""

    seconds = 0.0
    bonus = 0

    def __init__(self, *_):
        pass

    def judge(self, submission: Submission, checks: str) -> Result:
        time.sleep(self.seconds)
        digest = hashlib.sha256(submission.content or b"").hexdigest()
        points = int((submission.content or b"POINTS=0").rpartition(b"POINTS=")[2].split(b'"')[0]) + self.bonus
        found = []
        for number, exercise in enumerate(exercises(LAB)):
            earned = min(points, exercise.points) if number == 0 else exercise.points
            part = {"name": "all", "passed": earned > 0, "points": earned, "max_points": exercise.points, "message": ""}
            found.append(ExerciseResult(exercise.name, exercise.title, earned, exercise.points, "judged", (part,), "x"))
        rows = (Attention(submission.student, LAB, NAMES[0], "crash", "made up"),) if points == 0 else ()
        return Result(
            submission.student, LAB, "graded", digest, checks, "definitions", 0.0, tuple(found), rows, unsafe=True
        )

    def stop(self) -> None:
        pass


def main() -> None:
    """`made_up.py COURSE COUNT`: grade a class, slowly enough to be killed."""
    engine.Judge, FakeJudge.seconds = FakeJudge, 0.01
    engine.bytecode.folder = lambda course: None
    handed = [handed_in(f"s{number:02d}", number % 3, answer="my answer") for number in range(int(sys.argv[2]))]
    engine.grade(handed, course=Path(sys.argv[1]), unsafe=True, jobs=2)
    print("finished")


if __name__ == "__main__":
    main()
