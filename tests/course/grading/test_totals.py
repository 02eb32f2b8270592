"""The final points agree wherever they are written, and what nobody gave is empty, not 0."""

from __future__ import annotations

import csv
import shutil

import pytest
from made_up import LAB, NAMES, FakeJudge, handed_in

from labs_src.course.catalogue import select
from labs_src.course.grading import grade as engine
from labs_src.course.grading import gradebook, judges, sheet, store, totals
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.submission import Submission


@pytest.fixture
def classroom(tmp_path, monkeypatch, empty_gradebook) -> ClassFolder:
    monkeypatch.setattr(engine, "Judge", FakeJudge)
    monkeypatch.setattr(engine.bytecode, "folder", lambda course: None)
    (tmp_path / "class").mkdir()
    shutil.copy(empty_gradebook, tmp_path / "class")
    return ClassFolder(tmp_path / "class")


def grade(classroom: ClassFolder, *submissions: Submission):
    return engine.grade(submissions, course=classroom.root, unsafe=True, jobs=1, say=lambda line: None)


def given(classroom: ClassFolder, student: str, points: float, grade_id: str = "written_sceptic") -> None:
    """What formgrader does."""
    with gradebook.opened(classroom.db_url) as book:
        slug = book.assignments[0].name
        one = book.find_grade(grade_id, slug, slug, student)
        one.manual_score, one.needs_manual_grade = points, False
        book.db.commit()


def table(path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_marks_gradebook_and_page_agree(classroom):
    with gradebook.opened(classroom.db_url) as book:
        book.add_student("zoe")
    written = gradebook_cell()
    report = grade(classroom, handed_in("ann", 1, answer="because"), handed_in("bob", 2))
    given(classroom, "ann", 2.5, written)
    given(classroom, "ann", 1.5, f"check_{NAMES[0]}")
    rows = table(totals.write(classroom))
    with report.marks.open(encoding="utf-8") as file:
        checks = {r["student"]: r["points"] for r in csv.DictReader(file) if r["exercise"] == store.TOTAL}
    assert {student: rows[student]["from checks"] for student in checks} == checks
    ann = sheet.sheet(classroom, select([LAB])[0], report.results[0])
    assert float(rows["ann"]["points"]) == ann.points == float(checks["ann"]) + 3
    assert float(rows["ann"]["of"]) == ann.max_points and rows["ann"]["by hand"] == "3"
    assert rows["bob"]["points"] == checks["bob"] and rows["bob"]["by hand"] == "0"
    assert [rows[s]["state"] for s in ("ann", "bob", "zoe")] == ["graded", "graded", "not handed in"]
    assert (rows["zoe"]["points"], rows["zoe"]["from checks"], rows["zoe"]["waiting"]) == ("", "", "0")


def test_what_could_not_be_graded_has_no_points_until_somebody_gives_some(classroom, monkeypatch):
    monkeypatch.setattr(FakeJudge, "judge", lambda self, s, checks: judges.died(s, checks, "it ended", 1.0))
    grade(classroom, Submission("dan", LAB, None, problem="it is empty"))
    row = table(totals.write(classroom))["dan"]
    assert (row["points"], row["state"]) == ("", "could not be graded") and int(row["waiting"]) == len(NAMES) + 1
    given(classroom, "dan", 1, gradebook_cell())
    assert table(totals.write(classroom))["dan"]["points"] == "1"


def test_what_waits_is_said(classroom, capsys):
    grade(classroom, handed_in("ann", 1, answer="because"), handed_in("bob", 2, answer="so"), handed_in("cy", 2))
    totals.say(classroom)
    assert capsys.readouterr().out == f"2 answers in words wait to be read in formgrader (lab {LAB}: 2).\n"
    given(classroom, "ann", 2, gradebook_cell())
    given(classroom, "bob", 1, gradebook_cell())
    given(classroom, "bob", 1.5, f"check_{NAMES[0]}")
    totals.say(classroom)
    assert capsys.readouterr().out == ""
    grade(classroom, handed_in("ann", 2, answer="because"), handed_in("bob", 1, answer="no"))
    totals.say(classroom)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"1 answer in words waits to be read in formgrader (lab {LAB}: 1; 1 changed since you gave points)."
    assert second.startswith("1 exercise waits for you")


def gradebook_cell() -> str:
    """The lab's question that is answered in words."""
    from labs_src.course.grading.written import questions

    (name,) = questions(select([LAB])[0])
    return name
