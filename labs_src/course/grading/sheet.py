"""What a feedback page says: the verdicts as stored, points and comments from the gradebook, answers in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.errors import Problem
from labs_src.course.grading import written
from labs_src.course.grading.classfolder import ClassFolder

MAX_ANSWER = 6000
STATES = {
    "unwritten": "Not written yet.",
    "missing": "The notebook has no function of this name. Keep the name that the stub has.",
    "syntax": "This cell is not Python, so nothing in it could be run.",
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
        earlier: Whether the instructor's points are for work that has changed since.
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
    earlier: bool = False

    @property
    def full(self) -> bool:
        return self.points >= self.max_points


@dataclass
class Written:
    """An answer in words.

    Attributes:
        title, question: What was asked; the question in Markdown.
        points: Given so far.
        unread: Whether it waits for the instructor.
        earlier: Whether the points are for another text, which was handed in before.
        comment, text: The instructor's and the student's, in Markdown.
    """

    title: str
    points: float
    max_points: float
    unread: bool
    comment: str = ""
    text: str = ""
    question: str = ""
    earlier: bool = False


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
    def earlier(self) -> float:
        """Points that are for an answer which has changed since."""
        return sum(answer.points for answer in self.written if answer.earlier)

    @property
    def percent(self) -> float:
        return round(100 * max(0.0, min(1.0, self.points / self.max_points)), 1) if self.max_points else 0


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
    asked = written.questions(lab)
    texts = written.submitted(classroom.submitted / result.student / lab.slug / f"{lab.slug}.ipynb", lab)
    found = Sheet(result.student, lab.id, lab.title, score, max_score, when, penalty, _problem(result))
    for exercise in result.exercises:
        grade = grades.pop(f"check_{exercise.name}", {})
        comment = comments.get(exercise.name) or comments.get(f"check_{exercise.name}") or ""
        found.exercises.append(_exercise(exercise, grade, comment))
    for name, grade in grades.items():
        if name in asked:
            found.written.append(_answer(asked[name], grade, comments.get(name, ""), texts.get(name, "")))
    return found


def _exercise(result: Any, grade: dict[str, Any], comment: str) -> Exercise:
    checked, by_hand = result.points or 0, grade.get("manual_score")  # None: nothing could be judged
    points = (checked if by_hand is None else by_hand) + (grade.get("extra_credit") or 0)
    criteria = [criterion if isinstance(criterion, dict) else vars(criterion) for criterion in result.criteria]
    state = STATES.get(result.state, "")
    if result.state == "unwritten" and (points or by_hand is not None):
        state = ""  # somebody saw more than the check did, and says so below
    if result.state == "syntax" and criteria:
        state += f" Python says: {criteria[0]['message'].removeprefix('this cell is not Python: ')}."
    return Exercise(
        name=result.name,
        title=result.title,
        points=points,
        max_points=result.max_points,
        state=state,
        # Where nothing could be judged the criteria would only repeat the state.
        criteria=criteria if result.state == "judged" or any(c["points"] for c in criteria) else [],
        read_again=result.read_again if points < result.max_points and result.points is not None else "",
        comment=comment,
        by_hand=points if points != checked else None,
        checked=checked,
        earlier=by_hand is not None and bool(grade.get("needs_manual_grade")),
    )


def _answer(question: written.Question, grade: dict[str, Any], comment: str, text: str) -> Written:
    given = grade["manual_score"] is not None
    unread = bool(grade["needs_manual_grade"]) or (not given and grade["auto_score"] is None)
    return Written(
        title=question.title,
        question=question.text,
        points=_score(grade),
        max_points=grade["max_score"],
        unread=unread,
        earlier=unread and given,
        comment=comment,
        text=text[:MAX_ANSWER],
    )


def _score(grade: dict[str, Any]) -> float:
    chosen = grade["manual_score"] if grade["manual_score"] is not None else grade["auto_score"]
    return (chosen or 0) + (grade.get("extra_credit") or 0)


def _problem(result: Any) -> str:
    if result.state == "graded":
        return ""
    said = [row.message for row in result.attention if row.kind == "problem" and not row.exercise]
    return said[0] if said else "your instructor has been told."
