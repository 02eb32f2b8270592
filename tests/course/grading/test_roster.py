"""`students.csv`: who is who, and what is wrong with a file that does not say it."""

from __future__ import annotations

import shutil

import pytest
from handed_in import lay, notebook

from labs_src.course.errors import Problem
from labs_src.course.grading import gradebook
from labs_src.course.grading.roster import Roster

NAME = "01_doubling.ipynb"
GOOD = notebook("def double(x):\n    return 2 * x")
OTHER = notebook("def double(x):\n    return x + x")
CLASS = """id,name,also
ann,Ann Lee,
erin,"Moodle, Erin Maria",erin.m; 48213
jsmith,Jane Smith,
jsmith2,Jane Smith,smithjane_2;77777
zoe,Zoé Müller,
"""


@pytest.fixture
def roster(tmp_path):
    """Write a roster into the class, and read it."""

    def write(text: str, encoding: str = "utf-8") -> Roster:
        path = tmp_path / "class/students.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return Roster.of(tmp_path / "class")

    return write


@pytest.mark.parametrize(
    ("given", "student"),
    [
        ("ann", "ann"),
        ("ANN", "ann"),
        ("Ann Lee", "ann"),
        ("lee, ann", "ann"),
        ("leeann #12346", "ann"),  # Canvas
        ("Ann Lee #51000", "ann"),  # Moodle, with another number for each assignment
        ("Ann Lee_51000_assignsubmission_file_", "ann"),
        ("Ann-Lee-51000", None),
        ("Erin Maria Moodle", "erin"),
        ("erin.m", "erin"),
        ("somebody #48213", "erin"),
        ("Jane Smith", None),  # two of them
        ("smithjane #12345", None),
        ("smithjane #77777", "jsmith2"),
        ("smithjane_2", "jsmith2"),
        ("Zoe Muller", "zoe"),
        ("mullerzoe #12349", "zoe"),
        ("ann_2", None),
        ("", None),
        ("bob", None),
    ],
)
def test_who_is_meant(roster, given, student):
    assert roster(CLASS).find(given) == student
    assert roster("\ufeff" + CLASS.replace("\n", "\r\n")).find(given) == student  # as Excel writes it


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no columns id and name"),
        ("ann,Ann Lee\n", "no columns id and name"),
        ("id;name;also\nann;Ann;x\n", "separated by commas"),
        ("id,name\nann,Lee, Ann\n", "line 2: more columns"),
        ("id,name\n,Ann\n", "line 2: '' cannot be an id"),
        ("id,name\n../x,Ann\n", "line 2: '../x' cannot be an id"),
        ("id,name\nann,Ann\n\nANN,Anna\n", r"'ann' stands for ann \(line 2\) and ANN \(line 4\)"),
        ("id,name,also\nann,Ann,48213\nbob,Bob,x;48213\n", r"'48213' stands for ann \(line 2\) and bob \(line 3\)"),
        ("id,name,also\nann,Ann,bob\nbob,Bob,\n", "'bob' stands for ann"),
        ('id,name\nann,"Ann\n', "cannot be read"),
    ],
)
def test_a_malformed_file(roster, text, says):
    with pytest.raises(Problem, match=says):
        roster(text)


def test_a_file_that_is_not_utf8(roster):
    with pytest.raises(Problem, match="UTF-8"):
        roster(CLASS, "latin-1")


def test_without_a_file(tmp_path):
    assert not Roster.of(tmp_path).students


def test_the_platform_and_the_exchange_give_one_student(tmp_path, take, roster):
    roster(CLASS)
    place = lay(tmp_path / "in", {f"Ann Lee_51000_assignsubmission_file_/{NAME}": GOOD, f"bob/{NAME}": OTHER})
    found, _ = take(place)
    assert set(found) == {("ann", "01"), ("bob", "01")} and found["ann", "01"].notes == ()
    assert "nobody in students.csv" in found["bob", "01"].notes[0].text
    found, _ = take(lay(tmp_path / "in2", {f"ann+01_doubling+2026-11-02 15:58:23.948203 UTC/{NAME}": OTHER}))
    assert set(found) == {("ann", "01"), ("bob", "01")}


def test_a_roster_that_comes_later(tmp_path, take, roster, labs):
    from labs_src.course.grading.classfolder import ClassFolder
    from labs_src.course.grading.intake import Intake

    place = lay(tmp_path / "in", {f"Ann Lee_51000_assignsubmission_file_/{NAME}": GOOD, f"Zoé Müller/{NAME}": OTHER})
    found, _ = take(place)
    assert set(found) == {("Ann-Lee-51000", "01"), ("Zoe-Muller", "01")}
    roster(CLASS)
    moved = Intake(ClassFolder(tmp_path / "class"), labs).moved
    assert moved == {"Ann-Lee-51000": "ann", "Zoe-Muller": "zoe"}
    found, _ = take(tmp_path / "class/submitted")
    assert set(found) == {("ann", "01"), ("zoe", "01")} and not take.new
    assert not any(submission.notes for submission in found.values())
    assert not Intake(ClassFolder(tmp_path / "class"), labs).moved


def test_names_in_the_gradebook(tmp_path, roster, empty_gradebook):
    shutil.copy(empty_gradebook, tmp_path / "gradebook.db")
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    roster("id,name\nann,Ann\nbob,\n").enter(url)
    roster(CLASS).enter(url)
    with gradebook.opened(url) as book:
        names = {student.id: (student.first_name, student.last_name) for student in book.students}
    assert names["ann"] == ("Ann", "Lee") and names["erin"] == ("Erin Maria", "Moodle") and names["bob"] == (None, None)
    assert set(names) == {"ann", "bob", "erin", "jsmith", "jsmith2", "zoe"}
