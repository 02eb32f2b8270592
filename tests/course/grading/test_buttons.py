"""formgrader's buttons, one after the other as they stand there, in a class with an exchange."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import notebook_hash

from labs_src.course.catalogue import select
from labs_src.course.folders import Folders
from labs_src.course.grading import feedback, store
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.release import release
from labs_src.course.grading.submission import ExerciseResult, Result

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's own, of SQLAlchemy

SECRETS = {"ann": "ann's own secret", "bob": None}
"""ann's work came through the exchange, with a secret; bob's in a folder."""


@pytest.fixture
def pressed(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a button does, as formgrader asks for it; with the exchange's folder, and the lab."""
    from nbgrader.api import Gradebook

    folders = Folders.below(built)
    classroom = ClassFolder(tmp_path / "class")
    release(["00"], classroom, folders)
    (lab,) = select(["00"], folders)
    results = []
    for student, secret in SECRETS.items():
        with Gradebook(classroom.db_url) as gradebook:
            gradebook.add_student(student)
            gradebook.add_submission(lab.slug, student, timestamp=datetime(2026, 11, 2, 10) if secret else None)
        exercise = ExerciseResult("double", "Twice x", 1, 2, "judged", (), "Doubling things")
        results.append(Result(student, "00", "graded", "sha", "checks", exercises=(exercise,)))
        for root in (classroom.submitted, classroom.autograded):
            folder = root / student / lab.slug
            folder.mkdir(parents=True)
            empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
            (folder / f"{lab.slug}.ipynb").write_text(json.dumps(empty))
        if secret:
            (classroom.submitted / student / lab.slug / "submission_secret.txt").write_text(secret)
            (classroom.submitted / student / lab.slug / "timestamp.txt").write_text("2026-11-02 10:00:00 UTC")
    monkeypatch.setattr(store, "load", lambda course: results)
    monkeypatch.setattr(feedback, "labs", lambda: [lab])
    exchange = tmp_path / "exchange"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    config = classroom.config()
    config.Exchange.root = str(exchange)

    def press(button: str, student: str | None = None) -> dict:
        arguments = (lab.slug,) if student is None else (lab.slug, student)
        return getattr(NbGraderAPI(config=config), button)(*arguments)

    return press, classroom, lab, exchange / classroom.course_id / "feedback"


@pytest.mark.parametrize("one_by_one", [True, False])
def test_generate_feedback_then_release_feedback(pressed, one_by_one):
    press, classroom, lab, released = pressed
    feedback.write(classroom, [lab])  # and before that, as the guide says, `labs feedback`
    for student in SECRETS if one_by_one else (None,):
        for button in ("generate_feedback", "release_feedback"):
            answer = press(button, student)
            assert answer["success"], answer
    html = (classroom.feedback / "ann" / lab.slug / f"{lab.slug}.html").read_text()
    theirs = released / f"{notebook_hash(secret=SECRETS['ann'], notebook_id=lab.slug)}.html"
    assert theirs.read_text() == html, "a student finds the page by the secret"
    assert len(list(released.glob("*.html"))) == 2


def test_autograde_refuses_in_the_first_line(pressed):
    press, classroom, _, _ = pressed
    before = {path: path.read_bytes() for path in classroom.root.rglob("*.ipynb")}
    answer = press("autograde", "ann")
    assert not answer["success"]
    assert answer["log"].splitlines()[0].endswith("In a terminal, type: labs grade"), answer["log"]
    assert "no sandbox" in answer["log"].splitlines()[0]
    assert len(answer["error"].splitlines()) <= 12, answer["error"]
    assert {path: path.read_bytes() for path in classroom.root.rglob("*.ipynb")} == before
