"""`labs forget`: out of everything, nothing lost, never in silence; and what was taken out can come again."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from handed_in import lay
from made_up import LAB, NAMES, FakeJudge, handed_in

from labs_src.course.catalogue import select
from labs_src.course.errors import Problem
from labs_src.course.grading import commands, gradebook
from labs_src.course.grading import grade as engine

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's own, of SQLAlchemy
SLUG = select([LAB])[0].slug


@pytest.fixture
def course(tmp_path, monkeypatch, empty_gradebook, capsys):
    """A class in which ann, bob (twice) and somebody who is none handed in, and carol a PDF."""
    monkeypatch.setattr(engine, "Judge", FakeJudge)
    monkeypatch.setattr(engine.bytecode, "folder", lambda course: None)
    monkeypatch.chdir(tmp_path)
    course = tmp_path / "class"
    course.mkdir()
    shutil.copy(empty_gradebook, course)
    same = handed_in("ann", 2, answer="because").content
    members = {f"ann/{SLUG}.ipynb": same, f"bob/{SLUG}.ipynb": handed_in("bob", 1).content, "bob/data.csv": b"1"}
    members |= {f"slip/{SLUG}.ipynb": same, "carol/essay.pdf": b"%PDF"}
    grade(course, lay(tmp_path / "in", members))
    capsys.readouterr()
    return course


def grade(course, *places):
    commands.grade(places, course, unsafe=True)


def students(course) -> set[str]:
    with gradebook.opened(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {student.id for student in book.students}


def everywhere(course, student: str) -> list[str]:
    """Where a student is still named."""
    named = [path.relative_to(course).as_posix() for path in course.rglob(f"*{student}*")]
    named = [path for path in named if not path.startswith("grading/forgotten")]
    tables = ("marks", "criteria", "attention", "gradebook")
    named += [name for name in tables if f"\n{student}," in (course / f"grading/{name}.csv").read_text()]
    index = json.loads((course / "grading/arrived/index.json").read_text())
    return named + [row["name"] for row in index if row["student"] == student]


def test_a_student_who_is_none(course, capsys):
    before = {path: path.read_bytes() for path in (course / "grading/arrived").glob("*.*") if path.suffix != ".json"}
    commands.forget(course, "slip")
    said = capsys.readouterr().out
    for part in ("submitted/slip\n", "autograded/slip", f"slip/{SLUG}.ipynb", "lab 01", "forgotten", "comes back"):
        assert part in said
    assert everywhere(course, "slip") == [] and students(course) == {"ann", "bob"}
    assert all(path.read_bytes() == data for path, data in before.items())  # ann's has the same bytes
    [folder] = (course / "grading/forgotten").iterdir()
    [whole] = (folder / "handed-in/slip").iterdir()
    assert whole.read_bytes() == handed_in("ann", 2, answer="because").content
    assert {"slip"} == {row["student"] for row in csv.DictReader((folder / "gradebook.csv").open())}
    changes = list(csv.DictReader((course / "grading/changes.csv").open()))
    assert {row["why"] for row in changes} == {"forgotten"} and {row["student"] for row in changes} == {"slip"}
    grade(course)
    assert everywhere(course, "slip") == [] and students(course) == {"ann", "bob"}
    marks = {row["student"]: row["points"] for row in csv.DictReader((course / "grading/gradebook.csv").open())}
    assert set(marks) == {"ann", "bob"}


@pytest.mark.parametrize("whence", ["in", "forgotten"])
def test_on_purpose_it_comes_again(course, whence):
    before = {row["exercise"] for row in gradebook.marks(f"sqlite:///{course / 'gradebook.db'}")}
    commands.forget(course, "bob")
    assert everywhere(course, "bob") == []
    [folder] = (course / "grading/forgotten").iterdir()
    grade(course, folder / "handed-in" if whence == "forgotten" else course.parent / "in")
    assert students(course) == {"ann", "bob", "slip"}
    rows = [row for row in gradebook.marks(f"sqlite:///{course / 'gradebook.db'}") if row["student"] == "bob"]
    assert {row["exercise"] for row in rows} == before and {1.0} < {row["auto"] for row in rows}
    index = json.loads((course / "grading/arrived/index.json").read_text())
    assert sorted(row["other"] for row in index if row["student"] == "bob") == [False, True]


def test_dates_and_names_come_again_too(course, tmp_path):
    whole = handed_in("erin", 1).content
    place = lay(tmp_path / "in3", {f"erin+{SLUG}+2026-11-02 15:58:23.948203 UTC/{SLUG}.ipynb": whole})
    place = lay(place, {f"Zoé Lang_48213_assignsubmission_file_/{SLUG}.ipynb": whole})
    grade(course, place)

    def known() -> list[tuple]:
        index = json.loads((course / "grading/arrived/index.json").read_text())
        fields = ("student", "given", "lab", "sha", "when", "sure")
        return sorted(tuple(row[field] for field in fields) for row in index)

    before = known()
    for name in ("erin", "Zoé Lang #48213"):
        commands.forget(course, name)
    assert len(known()) == len(before) - 2
    grade(course, *(folder / "handed-in" for folder in (course / "grading/forgotten").iterdir()))
    assert known() == before and {"erin", "Zoe-Lang-48213"} <= students(course)


@pytest.mark.parametrize("stopped_in", ["kept.save", "Store.log", "shutil.move", "_out_of_gradebook"])
def test_stopped_half_way_the_same_call_does_the_rest(course, monkeypatch, stopped_in):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"labs_src.course.grading.forget.{stopped_in}", stop)
        with pytest.raises(KeyboardInterrupt):
            commands.forget(course, "bob")
    commands.forget(course, "bob")
    assert everywhere(course, "bob") == [] and students(course) == {"ann", "slip"}
    kept = [path.read_bytes() for path in (course / "grading/forgotten").rglob("handed-in/bob/*.ipynb")]
    assert handed_in("bob", 1).content in kept


def test_what_a_person_gave_is_not_taken_out_unasked(course, capsys):
    url = f"sqlite:///{course / 'gradebook.db'}"
    with gradebook.opened(url) as book:
        book.find_grade(f"check_{NAMES[0]}", SLUG, SLUG, "ann").manual_score = 1.5
        book.find_comment(NAMES[0], SLUG, SLUG, "bob").manual_comment = "Well done"
        book.db.commit()
    for student in ("ann", "bob"):
        before = sorted(course.rglob("*"))
        with pytest.raises(Problem, match=rf"by hand \(01 {NAMES[0]}\).*--force"):
            commands.forget(course, student)
        assert sorted(course.rglob("*")) == before and students(course) == {"ann", "bob", "slip"}
    commands.forget(course, "ann", force=True)
    assert f"given by hand: 01 {NAMES[0]}" in capsys.readouterr().out
    [folder] = (course / "grading/forgotten").iterdir()
    rows = {row["exercise"]: row for row in csv.DictReader((folder / "gradebook.csv").open())}
    assert rows[NAMES[0]]["manual"] == "1.5" and students(course) == {"bob", "slip"}


def test_one_lab_and_what_belongs_to_none(course, capsys):
    commands.forget(course, "bob", [LAB])
    assert "bob stays in the gradebook." in capsys.readouterr().out and students(course) == {"ann", "bob", "slip"}
    assert not (course / "submitted/bob").exists() and not (course / f"grading/results/{LAB}/bob.json").exists()
    table = {row["student"]: row for row in csv.DictReader((course / "grading/gradebook.csv").open())}
    assert table["bob"]["points"] == "" and table["ann"]["points"] != ""
    commands.forget(course, "carol")
    assert everywhere(course, "carol") == []
    assert b"%PDF" in {p.read_bytes() for p in (course / "grading/forgotten").rglob("*.pdf")}
    for name, labs in (("nobody", ()), ("../in", ()), ("carol", ()), ("ann", ["02"])):
        with pytest.raises(Problem, match="There is nothing of"):
            commands.forget(course, name, labs)


def test_what_nbgrader_collected_and_who_is_on_the_roster(course, capsys):
    (course / "students.csv").write_text("id,name\ndave,Dave Dee\nfred,Fred Foe\n")
    lay(course / "submitted/dave" / SLUG, {f"{SLUG}.ipynb": handed_in("dave", 2).content})
    grade(course)
    said = capsys.readouterr().out
    assert "nothing from fred" in said and "dave" in students(course)
    commands.forget(course, "dave")
    assert "dave stays in the gradebook, being in students.csv." in capsys.readouterr().out
    grade(course)
    assert everywhere(course, "dave") == ["gradebook"] and "nothing from dave, fred" in capsys.readouterr().out
    table = {row["student"]: row["points"] for row in csv.DictReader((course / "grading/gradebook.csv").open())}
    assert table["dave"] == table["fred"] == ""
