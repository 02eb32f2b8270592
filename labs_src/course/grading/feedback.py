"""Feedback: a page for each student and lab. What was right, what was not and why, what to read again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab, labs
from labs_src.course.cells import read_source, write_atomically
from labs_src.course.errors import Problem
from labs_src.course.grading.classfolder import ClassFolder

MAX_ANSWER = 6000
STATES = {
    "unwritten": "Not written yet.",
    "missing": "The notebook has no function of this name. Keep the name that the stub has.",
    "crashed": "Your code ended the kernel while this was graded.",
    "timeout": "This took too long and was stopped. Look for a loop that does not end.",
    "memory": "This asked for more memory than grading allows.",
    "not graded": "This was not graded; your instructor has been told.",
}


@dataclass
class Exercise:
    """One exercise of a page, as `feedback.html.j2` shows it.

    Attributes:
        by_hand: The points that the instructor gave instead, if they did.
        checked: What the check gave.
    """

    name: str
    title: str
    points: float
    max_points: float
    state: str = ""
    criteria: list[dict[str, Any]] = field(default_factory=list)
    read_again: str = ""
    comment: str = ""
    by_hand: float | None = None
    checked: float = 0

    @property
    def full(self) -> bool:
        return self.points >= self.max_points


@dataclass
class Written:
    """An answer in words."""

    title: str
    points: float
    max_points: float
    unread: bool
    comment: str = ""
    text: str = ""


@dataclass
class Sheet:
    """All that a page says."""

    student: str
    lab: str
    title: str
    points: float
    max_points: float
    submitted: str = ""
    penalty: float = 0
    problem: str = ""
    exercises: list[Exercise] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)

    @property
    def attempted(self) -> list[Exercise]:
        return [exercise for exercise in self.exercises if exercise not in self.blank]

    @property
    def blank(self) -> list[Exercise]:
        """Not begun, and nobody said anything about them: a line each is enough."""
        empty = STATES["unwritten"]
        return [e for e in self.exercises if e.state == empty and not e.comment and e.by_hand is None and not e.points]

    @property
    def unread(self) -> int:
        return sum(answer.unread for answer in self.written)

    @property
    def percent(self) -> float:
        return round(100 * max(0.0, min(1.0, self.points / self.max_points)), 1) if self.max_points else 0


def write(
    classroom: ClassFolder,
    only: Sequence[Lab],
    students: Sequence[str] = (),
    results: Iterable[Any] | None = None,
) -> list[Path]:
    """Write the pages of everything that has been graded into nbgrader's feedback tree.

    Args:
        classroom: The class.
        only: Labs.
        students: Gradebook ids; all when empty.
        results: What grading stored; read from the class by default.

    Returns:
        The pages.

    Raises:
        Problem: Nothing has been graded yet.
    """
    if results is None:
        from labs_src.course.grading import store

        results = store.load(classroom.root)
    by_lab = {lab.id: lab for lab in only}
    chosen = [r for r in results if r.lab in by_lab and (not students or r.student in students)]
    if not chosen:
        raise Problem("Nothing has been graded yet that this asks for. First: labs grade DIR")
    written = []
    for result in chosen:
        lab = by_lab[result.lab]
        folder = classroom.feedback / result.student / lab.slug
        write_atomically(folder / f"{lab.slug}.html", render(sheet(classroom, lab, result)))
        # nbgrader's release_feedback wants both files beside the page.
        handed_in = classroom.submitted / result.student / lab.slug
        for name, otherwise in (("timestamp.txt", ""), ("submission_secret.txt", secrets.token_hex(16))):
            if (handed_in / name).is_file():
                write_atomically(folder / name, (handed_in / name).read_bytes()[:10_000])
            elif not (folder / name).exists():
                write_atomically(folder / name, otherwise)
        written.append(folder / f"{lab.slug}.html")
    return written


def page(classroom: ClassFolder, student: str, slug: str) -> str:
    """The page of one student and lab, for formgrader's button.

    Raises:
        Problem: It has not been graded with `labs grade`.
    """
    from labs_src.course.grading import store

    lab = next((lab for lab in labs() if lab.slug == slug), None)
    for result in store.load(classroom.root):
        if lab is not None and (result.student, result.lab) == (student, lab.id):
            return render(sheet(classroom, lab, result))
    raise Problem(f"{student}'s {slug} has not been graded yet. First: labs grade DIR")


def sheet(classroom: ClassFolder, lab: Lab, result: Any) -> Sheet:
    """What the page of one result says: the verdicts as stored, points and comments from the gradebook."""
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(classroom.db_url) as gradebook:
        try:
            submission = gradebook.find_submission(lab.slug, result.student)
            notebook = gradebook.find_submission_notebook(lab.slug, lab.slug, result.student)
        except MissingEntry:
            raise Problem(f"{result.student} has no lab {lab.id} in the gradebook. First: labs grade DIR") from None
        grades = {grade.name: grade.to_dict() for grade in notebook.grades}
        # Only what a person wrote: the automatic comment is the verdict again.
        comments = {comment.name: comment.manual_comment or "" for comment in notebook.comments}
        when = submission.timestamp.strftime("%d %B %Y, %H:%M UTC") if submission.timestamp else ""
        penalty = notebook.late_submission_penalty or 0
        score, max_score = notebook.score - penalty, notebook.max_score
    titles, answers = _written(lab), _answers(classroom, lab, result.student)
    found = Sheet(result.student, lab.id, lab.title, score, max_score, when, penalty, _problem(result))
    for exercise in result.exercises:
        grade = grades.pop(f"check_{exercise.name}", {})
        comment = comments.get(exercise.name) or comments.get(f"check_{exercise.name}") or ""
        found.exercises.append(_exercise(exercise, grade, comment))
    for name, grade in grades.items():
        if name in titles:
            unread = bool(grade["needs_manual_grade"]) or (
                grade["manual_score"] is None and grade["auto_score"] is None
            )
            points = _score(grade)
            answer = Written(titles[name], points, grade["max_score"], unread, comments.get(name, ""))
            answer.text = answers.get(name, "")[:MAX_ANSWER]
            found.written.append(answer)
    return found


def render(found: Sheet) -> str:
    """The page; everything that anybody wrote is escaped."""
    return _template().render(sheet=found)


def _exercise(result: Any, grade: dict[str, Any], comment: str) -> Exercise:
    checked, by_hand = result.points or 0, grade.get("manual_score")  # None: nothing could be judged
    points = (checked if by_hand is None else by_hand) + (grade.get("extra_credit") or 0)
    criteria = [criterion if isinstance(criterion, dict) else vars(criterion) for criterion in result.criteria]
    return Exercise(
        name=result.name,
        title=result.title,
        points=points,
        max_points=result.max_points,
        state=STATES.get(result.state, ""),
        # Where nothing could be judged the criteria would only repeat the state.
        criteria=criteria if result.state == "judged" or any(c["points"] for c in criteria) else [],
        read_again=result.read_again if points < result.max_points and result.points is not None else "",
        comment=comment,
        by_hand=points if points != checked else None,
        checked=checked,
    )


def _score(grade: dict[str, Any]) -> float:
    chosen = grade["manual_score"] if grade["manual_score"] is not None else grade["auto_score"]
    return (chosen or 0) + (grade.get("extra_credit") or 0)


def _problem(result: Any) -> str:
    if result.state == "graded":
        return ""
    said = [row.message for row in result.attention if row.kind == "problem" and not row.exercise]
    return said[0] if said else "your instructor has been told."


@cache
def _written(lab: Lab) -> dict[str, str]:
    """Titles of the answers in words, by grade id: the last heading before each."""
    titles, heading = {}, lab.title
    for cell in read_source(lab.source).cells:
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade") and data.get("solution"):
            titles[data["grade_id"]] = heading
        elif cell.cell_type == "markdown":
            heading = next((x.lstrip("# ") for x in reversed(cell.source.splitlines()) if x.startswith("#")), heading)
    return titles


def _answers(classroom: ClassFolder, lab: Lab, student: str) -> dict[str, str]:
    """What the student wrote in the cells of answers in words, by grade id."""
    path = classroom.submitted / student / lab.slug / f"{lab.slug}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        cell["metadata"]["nbgrader"].get("grade_id"): "".join(cell["source"])
        for cell in cells
        if cell.get("cell_type") == "markdown" and isinstance(cell.get("metadata", {}).get("nbgrader"), dict)
    }


def _points(value: float) -> str:
    """2, not 2.0; but 1.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).parent.parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["points"] = _points
    return environment.get_template("feedback.html.j2")
