"""A small class through the whole path: folders in, marks in the gradebook, pages out; every mark as expected."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from classroom import Classroom, lay_out

from labs_src.course.grading import commands, gradebook, machine
from labs_src.course.grading.classfolder import ClassFolder

LAB = "00"
STUDENTS = ("untouched", "colab", "breaking", "renamed", "patcher", "prose", "otherlab")


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory):
    room = Classroom(LAB)
    handed = [one for one in room.make(26) if one.student in STUDENTS]
    handed.append(room.hand_in("right", "right", room.solved(random.Random(1))))
    folder = tmp_path_factory.mktemp("class")
    place = lay_out(handed, folder / "in")
    (place / "essay").mkdir()
    (place / "essay" / "essay.pdf").write_bytes(b"%PDF")
    # Where no sandbox can be made (a container without user namespaces) the marks have to be the same.
    unsafe = bool(machine.trial().get("error"))
    ok = commands.grade([place], folder / "class", [LAB], unsafe=unsafe, with_feedback=True)
    return ok, {one.student: one for one in handed}, ClassFolder(folder / "class"), room


def test_every_mark_is_as_expected(graded):
    ok, handed, classroom, room = graded
    rows = [row for row in gradebook.marks(classroom.db_url) if row["grade_id"].startswith("check_")]
    marks = {(row["student"], row["exercise"]): row["auto"] for row in rows}
    assert ok and {student for student, _ in marks} == {*handed, "essay"}
    for student, one in handed.items():
        for exercise in room.exercises:
            expected = None if one.points is None else one.points[exercise.name]
            assert marks[student, exercise.name] == expected, f"{student}: {one.kind}"


def test_what_needs_attention_is_in_the_list(graded):
    _, handed, classroom, _ = graded
    with (classroom.root / "grading" / "attention.csv").open(encoding="utf-8") as table:
        rows = {}
        for row in csv.DictReader(table):
            rows.setdefault(row["student"], []).append(row["message"])
    for student, one in handed.items():
        if one.points is None:
            assert any(one.says in message for message in rows[student]), (student, rows.get(student))
    assert any("essay.pdf" in message for message in rows["essay"])
    assert any("The file was called" in message for message in rows["renamed"])
    assert "patcher" in rows
    if not machine.trial().get("error"):  # without a sandbox everybody is in the list
        assert "right" not in rows and "colab" not in rows


def test_everybody_gets_a_page(graded):
    _, handed, classroom, room = graded
    slug = room.lab.slug
    for student, one in handed.items():
        html = (classroom.feedback / student / slug / f"{slug}.html").read_text(encoding="utf-8")
        assert str(Path(__file__).parents[3]) not in html and "Traceback" not in html
        if one.points is None:
            assert "could not be graded" in html
        else:
            assert f"<b>{one.total:g}</b> of {sum(e.points for e in room.exercises)} points" in html


def test_grading_again_changes_nothing(graded, capsys):
    _, handed, classroom, _ = graded
    before = gradebook.marks(classroom.db_url)
    assert commands.grade([], classroom.root, [LAB], unsafe=bool(machine.trial().get("error")))
    assert gradebook.marks(classroom.db_url) == before
    assert f"{len(handed) + 1} submissions are graded already" in capsys.readouterr().out
