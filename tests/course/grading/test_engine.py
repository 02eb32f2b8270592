"""Marks are whole or not there, hand-graded ones stay, a repeated grading continues, and a changed mark is named."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import made_up
import pytest
from made_up import LAB, NAMES, FakeJudge, handed_in

from labs_src.course.errors import Problem
from labs_src.course.grading import grade as engine
from labs_src.course.grading import gradebook, judges, store
from labs_src.course.grading.submission import Submission

FIRST = f"check_{NAMES[0]}"


@pytest.fixture
def course(tmp_path, monkeypatch, empty_gradebook):
    monkeypatch.setattr(engine, "Judge", FakeJudge)
    monkeypatch.setattr(engine.bytecode, "folder", lambda course: None)
    monkeypatch.setattr(FakeJudge, "bonus", 0)
    (tmp_path / "class").mkdir()
    shutil.copy(empty_gradebook, tmp_path / "class")
    return tmp_path / "class"


def grade(course, *submissions, **options):
    return engine.grade(submissions, course=course, unsafe=True, jobs=2, say=lambda line: None, **options)


def rows(course) -> dict[tuple[str, str], dict]:
    found = gradebook.marks(f"sqlite:///{course / 'gradebook.db'}")
    return {(row["student"], row["grade_id"]): row for row in found}


def by_hand(course, student: str, grade_id: str, points: float) -> None:
    """What formgrader does."""
    with gradebook.opened(f"sqlite:///{course / 'gradebook.db'}") as book:
        slug = book.assignments[0].name
        grade = book.find_grade(grade_id, slug, slug, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.db.commit()


def test_marks_and_tables(course):
    late = handed_in("bob", 0, submitted=datetime(2026, 3, 1, 12), notes=("late by 2 h",))
    report = grade(course, handed_in("ann", 2, answer="because"), late)
    marks = rows(course)
    assert marks["ann", FIRST]["score"] == 2 and marks["bob", FIRST]["score"] == 0
    assert not marks["ann", FIRST]["needs_manual"]
    written = next(name for _, name in marks if name.startswith("written"))
    assert marks["ann", written]["needs_manual"] and marks["ann", written]["auto"] is None
    assert not marks["bob", written]["needs_manual"] and marks["bob", written]["comment"] == "No response."
    assert NAMES[0] in marks["ann", FIRST]["comment"]
    with report.attention_csv.open(encoding="utf-8") as file:
        assert [(row["student"], row["kind"]) for row in csv.DictReader(file)] == [("bob", "note"), ("bob", "crash")]
    with report.marks.open(encoding="utf-8") as file:
        table = {(row["student"], row["exercise"]): row["points"] for row in csv.DictReader(file)}
    assert table["ann", NAMES[0]] == "2" and table["bob", NAMES[0]] == "0" and int(table["ann", store.TOTAL]) > 20


def test_what_a_person_gave_stays(course):
    grade(course, handed_in("ann", 1, answer="because"))
    written = next(name for _, name in rows(course) if name.startswith("written"))
    by_hand(course, "ann", written, 2.5)
    by_hand(course, "ann", FIRST, 1.5)
    grade(course, handed_in("ann", 1, answer="because"), fresh=True)
    marks = rows(course)
    assert (marks["ann", written]["manual"], marks["ann", FIRST]["manual"]) == (2.5, 1.5)
    assert not marks["ann", written]["needs_manual"] and not marks["ann", FIRST]["needs_manual"]
    grade(course, handed_in("ann", 2, answer="because"))
    marks = rows(course)
    assert (marks["ann", written]["manual"], marks["ann", FIRST]["manual"]) == (2.5, 1.5)
    assert marks["ann", FIRST]["score"] == 1.5 and marks["ann", FIRST]["auto"] == 2
    assert marks["ann", FIRST]["needs_manual"], "somebody should look again"
    assert not marks["ann", written]["needs_manual"], "the same answer has been read"


def test_an_answer_that_has_changed_is_to_be_read_again(course):
    grade(course, handed_in("ann", 1, answer="because"))
    written = next(name for _, name in rows(course) if name.startswith("written"))

    def waits(answer: str | None, points: int = 1) -> bool:
        grade(course, handed_in("ann", points, answer=answer))
        assert rows(course)["ann", written]["manual"] == 2
        return rows(course)["ann", written]["needs_manual"]

    by_hand(course, "ann", written, 2)
    assert waits("a better answer") and waits("a better answer", points=2), "until somebody reads it"
    assert not waits("because"), "that one has been read"
    assert waits(None), "a deleted answer too"
    assert waits("a third one")
    by_hand(course, "ann", written, 2)
    assert not waits("a  third one\n", points=0) and waits("because")


def test_a_kill_before_the_digests_are_kept_costs_a_reading_not_a_change(course, monkeypatch):
    grade(course, handed_in("ann", 1, answer="because"))
    written = next(name for _, name in rows(course) if name.startswith("written"))
    by_hand(course, "ann", written, 2)

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gradebook.Readings, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            grade(course, handed_in("ann", 1, answer="another"))
    assert grade(course, handed_in("ann", 1, answer="another")).reused == 1
    assert rows(course)["ann", written]["needs_manual"]


def test_a_repeated_grading_runs_nothing_again(course, monkeypatch):
    grade(course, handed_in("ann", 1), handed_in("bob", 2))
    monkeypatch.setattr(FakeJudge, "judge", lambda *_: pytest.fail("it was run again"))
    report = grade(course, handed_in("ann", 1, notes=("now late",)), handed_in("bob", 2))
    assert report.reused == 2 and not report.changes
    assert [row.message for row in report.attention] == ["now late"]


def test_a_lost_gradebook_is_filled_again_from_results(course, empty_gradebook):
    grade(course, handed_in("ann", 1))
    shutil.copy(empty_gradebook, course)
    assert grade(course, handed_in("ann", 1)).reused == 1
    assert rows(course)["ann", FIRST]["score"] == 1


def test_a_fixed_check_says_what_changed_and_for_whom(course, monkeypatch):
    before = [handed_in("ann", 2), handed_in("bob", 0), handed_in("cy", 1)]
    grade(course, *before)
    monkeypatch.setattr(store, "checks_hash", lambda *_: "another")
    monkeypatch.setattr(FakeJudge, "bonus", 1)
    report = grade(course, *before)
    assert {(c.student, c.exercise, c.before, c.after, c.why) for c in report.changes} == {
        ("bob", NAMES[0], 0, 1, "the check changed"),
        ("cy", NAMES[0], 1, 2, "the check changed"),
    }
    assert rows(course)["bob", FIRST]["score"] == 1
    with report.changes_csv.open(encoding="utf-8") as file:
        assert {row["student"] for row in csv.DictReader(file)} == {"bob", "cy"}
    assert [c.why for c in grade(course, handed_in("bob", 1)).changes] == ["another submission"]


def test_checks_hash_follows_what_decides():
    limits = engine.Limits()
    one = store.checks_hash("02", "seed", limits)
    assert one == store.checks_hash("02", "seed", limits)
    assert len({one, store.checks_hash("01", "seed", limits), store.checks_hash("02", "x", limits)}) == 3
    assert one != store.checks_hash("02", "seed", replace(limits, seeds=4))


def test_what_cannot_be_graded_is_no_zero(course, monkeypatch):
    none = Submission("dan", LAB, None, problem="it is empty")

    def judge(self, submission, checks):
        return judges.died(submission, checks, "it ended", 1.0)

    monkeypatch.setattr(FakeJudge, "judge", judge)
    report = grade(course, handed_in("eve", 1), none)
    for student in ("dan", "eve"):
        assert all(row["auto"] is None and row["needs_manual"] for (s, _), row in rows(course).items() if s == student)
    assert report.results[0].state == "died"
    with report.marks.open(encoding="utf-8") as file:
        assert {row["points"] for row in csv.DictReader(file)} == {""}


def test_a_grading_that_fails_leaves_the_former_marks(course, monkeypatch):
    grade(course, handed_in("ann", 2))
    monkeypatch.setattr(FakeJudge, "judge", lambda self, s, checks: judges.died(s, checks, "it ended", 1.0))
    report = grade(course, handed_in("ann", 2), fresh=True)
    assert rows(course)["ann", FIRST]["score"] == 2
    assert [row.kind for row in report.attention] == ["died"]


def test_a_submission_that_is_gone_wrong_before_is_written_whole(course, monkeypatch):
    """The gradebook fails in the middle of one submission: of that one nothing is there."""
    grade(course, handed_in("ann", 2))
    real = gradebook._automatic
    count = [0]

    def broken(grade, points):
        count[0] += 1
        if count[0] == 5:
            raise RuntimeError("the disk went away")
        real(grade, points)

    monkeypatch.setattr(gradebook, "_automatic", broken)
    with pytest.raises(RuntimeError):
        grade(course, handed_in("bob", 2))
    assert {student for student, _ in rows(course)} == {"ann"}
    monkeypatch.setattr(gradebook, "_automatic", real)
    assert grade(course, handed_in("bob", 2)).reused == 1
    assert rows(course)["bob", FIRST]["score"] == 2


def test_killed_at_any_moment(course):
    """Three kills at random moments: after each the gradebook holds whole submissions only; the last run finishes."""
    script, students = Path(made_up.__file__), 24
    command = [sys.executable, str(script), str(course), str(students)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(engine.__file__).parents[3]), str(script.parent)])}
    moments = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in process.stdout:
            if line.startswith("[") and moments.random() < 0.2:
                break
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        whole = _whole_submissions(course)
        assert all(number == len(NAMES) for number in whole.values()), whole
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "finished" in out and "already" in out
    assert len(_whole_submissions(course)) == students
    for path in (course / "grading" / "results").rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))


def _whole_submissions(course: Path) -> dict[str, int]:
    """For each student in the gradebook, how many automatic scores are there."""
    query = """select student_id, count(auto_score) from submitted_assignment
        left join submitted_notebook on submitted_notebook.assignment_id = submitted_assignment.id
        left join grade on grade.notebook_id = submitted_notebook.id group by student_id"""
    with sqlite3.connect(course / "gradebook.db") as book:
        assert book.execute("pragma integrity_check").fetchone() == ("ok",)
        return dict(book.execute(query).fetchall())


def test_bad_names_and_doubles_are_refused(course):
    with pytest.raises(Problem, match="cannot be a student's id"):
        grade(course, replace(handed_in("ann", 1), student="../ann"))
    with pytest.raises(Problem, match="two submissions of ann"):
        grade(course, handed_in("ann", 1), handed_in("ann", 2))
    assert not (course / "grading").exists()


def test_a_gradebook_that_cannot_be_opened_is_one_message(course):
    with pytest.raises(Problem, match="cannot be opened") as problem:
        grade(course, handed_in("ann", 1), gradebook_url="sqlite:////nowhere/at/all/gradebook.db")
    assert "\n" not in str(problem.value)
    with pytest.raises(Problem, match="cannot be opened") as problem:
        grade(course, handed_in("ann", 1), gradebook_url="postgresql://ann:secret@host/x")
    assert "secret" not in str(problem.value)


def test_the_assignment_is_what_nbgrader_would_make(course):
    """Cells, points, and the text that tells an untouched answer."""
    grade(course, handed_in("ann", 1))
    with gradebook.opened(f"sqlite:///{course / 'gradebook.db'}") as book:
        notebook = book.assignments[0].notebooks[0]
        assert notebook.name == book.assignments[0].name
        points = {cell.name: cell.max_score for cell in notebook.grade_cells}
        assert all(points[f"check_{e.name}"] == e.points for e in made_up.exercises(LAB))
        assert {cell.name for cell in notebook.solution_cells} >= set(NAMES)
        assert all(cell.checksum for cell in notebook.source_cells)


def test_formulas_in_a_table_stay_text(course):
    report = grade(course, handed_in("ann", 1, notes=("=cmd|' /C calc'!A0",)))
    assert ",'=cmd" in report.attention_csv.read_text(encoding="utf-8")


def test_what_formgrader_shows(course):
    """The student's cells in their order; graded cells that were deleted come back; HTML is text."""
    import nbformat

    from labs_src.course.grading.autograded import defused

    full = json.loads(handed_in("ann", 1, answer="<script>alert(1)</script>").content)
    kept = [c for c in full["cells"] if not c["metadata"].get("nbgrader", {}).get("grade_id", "").startswith(FIRST)]
    kept.insert(0, {"cell_type": "markdown", "source": "[x](y) <img src=x onerror=alert(1)>", "metadata": {}})
    full["cells"] = kept
    grade(course, Submission("ann", LAB, json.dumps(full).encode()))
    path = next(course.glob("autograded/ann/*/*.ipynb"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text and "<img" not in text and "&lt;script" in text
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == FIRST)
    assert f"{NAMES[0]}: 1/" in cell.outputs[0].text
    assert defused("a < b, 1<2, <b>") == "a < b, 1<2, &lt;b>"
