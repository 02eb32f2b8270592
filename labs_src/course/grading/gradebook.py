"""Marks into nbgrader's gradebook: one transaction for a submission, so that a mark is there whole or not at all.

Automatic scores and comments are written here; what a person wrote (manual score, extra credit, manual comment) is
never touched. Where the automatic score under a manual one changes, or the text of a written answer, the grade is put
back on formgrader's list, as nbgrader does; a written answer that is handed in again as it was stays read.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.errors import Problem
from labs_src.course.grading.submission import Result
from labs_src.course.grading.written import UNREADABLE, Readings

PREFIX = "check_"


def opened(url: str) -> Any:
    """The gradebook at `url`, made when it is not there.

    Raises:
        Problem: It cannot be opened; the message has the reason.
    """
    from nbgrader.api import Gradebook

    from labs_src.course.grading.classfolder import programs_on_path

    programs_on_path()
    try:
        return Gradebook(url)
    except Exception as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())[:200]
        raise Problem(f"The gradebook {_shown(url)} cannot be opened: {reason}.") from error


def ensure_assignment(gradebook: Any, url: str, lab: Lab) -> None:
    """Make the lab's assignment with its cells, the same as `nbgrader generate_assignment` makes; keep one that fits.

    Raises:
        Problem: Students have handed in a version of the lab with other exercises.
    """
    from nbgrader.api import MissingEntry

    release = released(lab)
    wanted = {
        cell.metadata["nbgrader"]["grade_id"]: float(cell.metadata["nbgrader"]["points"])
        for cell in release.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    try:
        notebook = gradebook.find_notebook(lab.slug, lab.slug)
        if {cell.name: cell.max_score for cell in notebook.grade_cells} == wanted:
            return
    except MissingEntry:
        pass
    gradebook.update_or_create_assignment(lab.slug)
    from nbgrader.preprocessors import SaveCells

    resources = {"nbgrader": {"notebook": lab.slug, "assignment": lab.slug, "db_url": url}}
    try:
        SaveCells().preprocess(release, resources)
    except RuntimeError as error:
        raise Problem(
            f"Lab {lab.id} has other exercises than the version in the gradebook, which has submissions. "
            "Grade with the version of the course that was released, or start another gradebook with --gradebook."
        ) from error
    gradebook.db.expire_all()


def released(lab: Lab) -> Any:
    """The students' version with nbgrader's checksums, which tell an untouched answer from a written one."""
    from nbgrader.preprocessors import ComputeChecksums

    from labs_src.course.learner import learner_copy

    notebook = learner_copy(lab)
    ComputeChecksums().preprocess(notebook, {})
    return notebook


def write(
    gradebook: Any,
    lab: Lab,
    result: Result,
    *,
    submitted: datetime | None,
    answered: dict[str, str | bool],
    renewed: bool,
    course: Path,
) -> None:
    """One submission's automatic marks and comments, in one transaction.

    Args:
        gradebook: From `opened`.
        lab: The result's lab.
        result: What to write; a result that is not "graded" leaves scores empty, which formgrader shows as open.
        submitted: When it was handed in, UTC.
        answered: For each hand-graded cell the answer, "" if there is none; True where that cannot be known.
        renewed: Whether the notebook is another one than what was graded before.
        course: The class's folder.
    """
    from sqlalchemy.exc import SQLAlchemyError

    readings = Readings.of(course, lab.id, result.student)
    exercises = {exercise.name: exercise for exercise in result.exercises}
    try:
        submission = _submission(gradebook, lab.slug, result.student)
        if submitted is not None:
            submission.timestamp = submitted
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                name = grade.cell.name
                if name in answered:
                    _by_hand(grade, answered[name], renewed, readings)
                elif (exercise := exercises.get(name.removeprefix(PREFIX))) is not None:
                    _automatic(grade, exercise.points)
            for comment in notebook.comments:
                name = comment.cell.name
                if name in answered:
                    comment.auto_comment = None if answered[name] else "No response."
                elif (exercise := exercises.get(name)) is not None:
                    comment.auto_comment = "\n".join(said(exercise)) or None
        gradebook.db.commit()
        readings.keep()
    except SQLAlchemyError as error:
        gradebook.db.rollback()
        reason = " ".join(str(getattr(error, "orig", error)).split())[:200]
        raise Problem(f"The gradebook could not be written: {reason}. What is graded is kept; repeat it.") from error
    except BaseException:
        gradebook.db.rollback()
        raise


def said(exercise: Any) -> list[str]:
    """An exercise's verdict as lines, for a comment or an output."""
    if exercise.points is None:
        return ["Not graded."]
    state = {"unwritten": "not written yet", "missing": "missing", "syntax": "not Python"}.get(exercise.state, "")
    head = f"{exercise.name}: {exercise.points}/{exercise.max_points} points" + (f" ({state})" if state else "")
    lines = [head]
    for criterion in exercise.criteria:
        mark = "✓" if criterion["passed"] else "✗"
        message = f": {criterion['message']}" if criterion["message"] else ""
        lines.append(f"{mark} {criterion['name']} ({criterion['points']}/{criterion['max_points']}){message}")
    if exercise.points < exercise.max_points and exercise.read_again:
        lines.append(f'Read again: "{exercise.read_again}".')
    return lines


def marks(url: str) -> list[dict[str, Any]]:
    """Every grade in the gradebook: student, lab, assignment, grade_id, exercise, auto, manual, extra, score,
    max_score, needs_manual and comment."""
    gradebook = opened(url)
    rows = []
    with gradebook:
        for assignment in gradebook.assignments:
            for submission in assignment.submissions:
                for notebook in submission.notebooks:
                    comments = {comment.name: comment.comment for comment in notebook.comments}
                    rows += [_row(assignment.name, submission.student.id, grade, comments) for grade in notebook.grades]
    return rows


def _row(assignment: str, student: str, grade: Any, comments: dict[str, str | None]) -> dict[str, Any]:
    exercise = grade.name.removeprefix(PREFIX)
    return {
        "student": student,
        "lab": assignment[:2],
        "assignment": assignment,
        "grade_id": grade.name,
        "exercise": exercise,
        "auto": grade.auto_score,
        "manual": grade.manual_score,
        "extra": grade.extra_credit,
        "score": grade.score,
        "max_score": grade.max_score,
        "needs_manual": bool(grade.needs_manual_grade),
        "comment": comments.get(exercise),
    }


def _automatic(grade: Any, points: int | None) -> None:
    score = None if points is None else float(points)
    if grade.manual_score is None:
        grade.needs_manual_grade = score is None
    elif grade.auto_score != score:
        grade.needs_manual_grade = True
    grade.auto_score = score


def _by_hand(grade: Any, answer: str | bool, renewed: bool, readings: Readings) -> None:
    has_points = grade.manual_score is not None
    text = answer if isinstance(answer, str) else UNREADABLE
    again = readings.again(grade.cell.name, text, has_points and not grade.needs_manual_grade, renewed)
    grade.auto_score = None if answer else 0.0
    grade.needs_manual_grade = again if has_points else bool(answer)


def _submission(gradebook: Any, assignment: str, student: str) -> Any:
    """The student's submission with a row for every cell; what is missing is added without a commit."""
    from nbgrader import api

    session = gradebook.db
    if session.get(api.Student, student) is None:
        session.add(api.Student(id=student))
    master = gradebook.find_assignment(assignment)
    found = session.query(api.SubmittedAssignment).filter_by(assignment_id=master.id, student_id=student).one_or_none()
    if found is None:
        found = api.SubmittedAssignment(assignment=master, student_id=student)
        session.add(found)
    with session.no_autoflush:
        for notebook in master.notebooks:
            mine = next((n for n in found.notebooks if n.notebook_id == notebook.id), None)
            if mine is None:
                mine = api.SubmittedNotebook(notebook=notebook, assignment=found)
                session.add(mine)
            graded, commented = {g.cell_id for g in mine.grades}, {c.cell_id for c in mine.comments}
            for cell in [*notebook.grade_cells, *notebook.task_cells]:
                if cell.id not in graded:
                    session.add(api.Grade(cell_id=cell.id, notebook=mine))
            for cell in [*notebook.solution_cells, *notebook.task_cells]:
                if cell.id not in commented:
                    session.add(api.Comment(cell_id=cell.id, notebook=mine))
    session.flush()
    return found


def _shown(url: str) -> str:
    """A URL without a password."""
    import re

    return re.sub(r"//([^:/@]+):[^@]*@", r"//\1:…@", url)
