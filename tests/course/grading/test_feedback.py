"""Feedback pages: what was said and by whom, nothing that could run, nothing hidden."""

from __future__ import annotations

import json
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from labs_src.course.catalogue import select
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders
from labs_src.course.grading import feedback, sheet, store, written
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.release import release
from labs_src.course.grading.submission import Attention, ExerciseResult, Result

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's own, of SQLAlchemy

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is not closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data.strip())

    def says(self) -> str:
        return " ".join(text for text in self.text if text)


def criterion(name: str, passed: bool, message: str = "") -> dict:
    return {"name": name, "passed": passed, "points": int(passed), "max_points": 1, "message": message}


def result(student: str = "ann", state: str = "graded", **more) -> Result:
    criteria = (criterion("numbers", True), criterion("tensors", False, f"that is the dot product {EVIL}"))
    exercises = (ExerciseResult("double", "Twice x", 1, 2, "judged", criteria, "Doubling things"),)
    return Result(student, "00", state, "sha", "checks", exercises=more.pop("exercises", exercises), **more)


@pytest.fixture(scope="module")
def graded(built: Path, tmp_path_factory: pytest.TempPathFactory):
    """A class with one release and one student whose work is in the gradebook."""
    from nbgrader.api import Gradebook

    folders = Folders.below(built)
    classroom = ClassFolder(tmp_path_factory.mktemp("class"))
    release(["00"], classroom, folders)
    (lab,) = select(["00"], folders)
    with Gradebook(classroom.db_url) as gradebook:
        gradebook.add_student("ann")
        submission = gradebook.add_submission(lab.slug, "ann", timestamp=datetime(2026, 11, 2, 10))
        grade = submission.notebooks[0].grades[0]
        grade.auto_score, grade.needs_manual_grade = 1.0, False
        gradebook.db.commit()
    return classroom, lab


def test_a_page_says_what_was_right_and_what_was_not(graded):
    classroom, lab = graded
    text = Page(feedback.render(sheet.sheet(classroom, lab, result()))).says()
    for said in ("Doubling", "ann", "02 November 2026, 10:00 UTC", "1 of 2 points", "Twice x", "numbers", "tensors"):
        assert said in text
    assert "that is the dot product" in text and "Read again: “Doubling things”" in text


def test_nothing_that_a_student_wrote_becomes_html(graded):
    classroom, lab = graded
    html = feedback.render(sheet.sheet(classroom, lab, result()))
    page = Page(html)
    assert EVIL in page.says() and EVIL not in html
    assert "script" not in page.tags and "img" not in page.tags and "link" not in page.tags
    assert not any(name.startswith("on") or "http" in (value or "") for name, value in page.attributes)
    assert "default-src 'none'" in html


def test_points_and_comments_by_hand(graded):
    from nbgrader.api import Gradebook

    classroom, lab = graded
    with Gradebook(classroom.db_url) as gradebook:
        notebook = gradebook.find_submission_notebook(lab.slug, lab.slug, "ann")
        notebook.grades[0].manual_score = 1.5
        notebook.comments[0].manual_comment = f"Nearly! {EVIL}"
        gradebook.db.commit()
    try:
        html = feedback.render(sheet.sheet(classroom, lab, result()))
    finally:
        with Gradebook(classroom.db_url) as gradebook:
            notebook = gradebook.find_submission_notebook(lab.slug, lab.slug, "ann")
            notebook.grades[0].manual_score = notebook.comments[0].manual_comment = None
            gradebook.db.commit()
    text = Page(html).says()
    assert "changed the points by hand: 1 became 1.5" in text and "1.5 of 2" in text
    assert "Your instructor writes Nearly!" in text and EVIL not in html


@pytest.mark.parametrize("state", ["unwritten", "missing", "syntax", "crashed", "timeout", "memory", "not graded"])
def test_every_state_has_a_sentence(graded, state):
    classroom, lab = graded
    none = (ExerciseResult("double", "Twice x", None if state == "not graded" else 0, 2, state, (), "Doubling"),)
    text = Page(feedback.render(sheet.sheet(classroom, lab, result(exercises=none)))).says()
    assert sheet.STATES[state].rstrip(".") in text and "double" in text


def test_what_could_not_be_graded_says_so(graded):
    classroom, lab = graded
    row = Attention("ann", "00", "", "problem", "x.ipynb is empty.")
    html = feedback.render(sheet.sheet(classroom, lab, result(state="problem", exercises=(), attention=(row,))))
    assert "could not be graded: x.ipynb is empty." in Page(html).says()


def test_a_cell_that_is_not_python_is_quoted_once(graded):
    classroom, lab = graded
    message = f"this cell is not Python: line 3, `return x + {EVIL}`: invalid syntax"
    parts = (criterion("numbers", False, message), criterion("tensors", False, message))
    none = (ExerciseResult("double", "Twice x", 0, 2, "syntax", parts, "Doubling"),)
    html = feedback.render(sheet.sheet(classroom, lab, result(exercises=none)))
    text = Page(html).says()
    assert "Twice x double 0 of 2" in text and text.count("invalid syntax") == 1 and EVIL not in html
    assert f"Python says: line 3, `return x + {EVIL}`: invalid syntax." in text and "Keep the name" not in text


def test_an_unwritten_function_with_points_by_hand_is_not_called_unwritten(graded):
    none = ExerciseResult("double", "Twice x", 0, 2, "unwritten", (), "Doubling")
    said = sheet._exercise(none, {"manual_score": 1.0, "needs_manual_grade": False}, "")
    assert (said.state, said.by_hand, said.earlier) == ("", 1, False)
    assert sheet._exercise(none, {}, "").state == sheet.STATES["unwritten"]


def test_answers_in_words():
    answers = [
        sheet.Written("Why?", 0, 3, True, text=f"Because **so** {EVIL}", question="Is $t_{prev}$ *it*?"),
        sheet.Written("How?", 2, 3, False, "Good. `x`"),
        sheet.Written("When?", 0, 2, False),
    ]
    found = sheet.Sheet("ann", "02", "Induction", 5, 10, written=answers)
    html = feedback.render(found)
    page = Page(html)
    text = page.says()
    assert "so far: 1 answer is still to be read" in text and "not read yet" in text and "2 of 3" in text
    assert EVIL in text and EVIL not in html and found.percent == 50
    assert "Because so" in text and "**" not in text and "$" not in text and "math" in page.tags
    assert "nothing written · 0 of 2" in text and "read by your instructor" not in text


def test_points_for_an_earlier_answer_are_called_that(graded):
    question = written.Question("Why?", "Say why.", "YOUR ANSWER HERE")
    grade = {"manual_score": 2.0, "auto_score": None, "max_score": 3.0, "needs_manual_grade": True, "extra_credit": 0}
    answer = sheet._answer(question, grade, "Good.", "Something else")
    assert answer.earlier and answer.unread
    found = sheet.Sheet("ann", "02", "Induction", 12, 39, written=[answer])
    text = Page(feedback.render(found)).says()
    assert "1 answer is still to be read; 2 of these points are for what you had handed in before" in text
    assert "What you have for it, 2 of 3, is for the earlier answer" in text
    assert "Your instructor wrote about your earlier answer Good." in text and "instructor writes" not in text
    read = sheet._answer(question, {**grade, "needs_manual_grade": False}, "Good.", "The same")
    assert not read.earlier and not read.unread
    text = Page(feedback.render(sheet.Sheet("ann", "02", "Induction", 12, 39, written=[read]))).says()
    assert "2 of 3" in text and "Your instructor writes Good." in text and "still to be read" not in text


def test_the_feedback_tree_is_nbgraders(graded, monkeypatch):
    classroom, lab = graded
    handed_in = classroom.submitted / "ann" / lab.slug
    handed_in.mkdir(parents=True)
    (handed_in / "submission_secret.txt").write_text("s3cret")
    written = feedback.write(classroom, [lab], results=[result()])
    folder = classroom.feedback / "ann" / lab.slug
    assert written == [folder / f"{lab.slug}.html"]
    assert {path.name for path in folder.iterdir()} == {f"{lab.slug}.html", "timestamp.txt", "submission_secret.txt"}
    assert (folder / "submission_secret.txt").read_text() == "s3cret"
    with pytest.raises(Problem, match="Nothing has been graded"):
        feedback.write(classroom, [lab], students=["bob"], results=[result()])


def test_formgraders_feedback_button_gives_the_same_page(graded, monkeypatch):
    from nbgrader.apps import NbGraderAPI

    classroom, lab = graded
    folder = classroom.autograded / "ann" / lab.slug
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{lab.slug}.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    monkeypatch.setattr(store, "load", lambda course: [result()])
    monkeypatch.setattr(feedback, "labs", lambda: [lab])
    answer = NbGraderAPI(config=classroom.config()).generate_feedback(lab.slug, "ann")
    assert answer["success"], answer
    html = (classroom.feedback / "ann" / lab.slug / f"{lab.slug}.html").read_text()
    assert html == feedback.render(sheet.sheet(classroom, lab, result()))
