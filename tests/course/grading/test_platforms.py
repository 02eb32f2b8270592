"""Names that Moodle and Canvas give: one student however often they hand in, no digit lost."""

from __future__ import annotations

import pytest
from handed_in import lay, notebook, zipped

from labs_src.course.grading.grade import STUDENT
from labs_src.course.grading.layout import clean
from labs_src.course.grading.platforms import Named, named

NAME = "01_doubling.ipynb"
GOOD = notebook("def double(x):\n    return 2 * x")
OTHER = notebook("def double(x):\n    return x + x")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("Erin Moodle_48213_assignsubmission_file_", Named("Erin Moodle", "48213")),
        ("Erin Moodle_48213_assignsubmission_file", Named("Erin Moodle", "48213")),
        ("Erin Moodle_7_assignsubmission_onlinetext_", Named("Erin Moodle", "7")),
        (f"Zoé_van_Dam_48213_assignsubmission_file_{NAME}", Named("Zoé_van_Dam", "48213", NAME)),
        (f"smithjane_12345_67890_{NAME}", Named("smithjane", "12345", NAME)),
        ("smithjane_LATE_12345_67890_01_doubling-1.ipynb", Named("smithjane", "12345", NAME, late=True)),
        ("ann_01_doubling.ipynb", None),
        ("ann_02_03_x.ipynb", None),
        ("_48213_assignsubmission_file_", None),
        ("01_doubling.ipynb", None),
    ],
)
def test_names(part, says):
    assert named(part) == says


def test_ids_keep_the_whole_number():
    long = Named("x" * 100, "1234567890123")
    for platform in (long, Named("李", "48213"), Named("Erin Moodle", "48213")):
        student = clean(platform.given, platform)
        assert STUDENT.fullmatch(student) and student.endswith("-" + platform.number) and len(student) <= 64
    assert clean("", Named("Erin Moodle", "48213")) == "Erin-Moodle-48213"


MOODLE = {
    f"Erin Moodle_48213_assignsubmission_file_/{NAME}": GOOD,
    "Erin Moodle_48213_assignsubmission_onlinetext_/onlinetext.html": b"<p>Hello</p>",
    f"Erin Moodle_48999_assignsubmission_file_/{NAME}": OTHER,
}
FLAT = {f"{folder.split('/')[0]}{folder.split('/')[1]}": data for folder, data in MOODLE.items()}
CANVAS = {
    f"smithjane_LATE_12345_67890_{NAME}": GOOD,
    f"leeann_12346_67891_{NAME}": OTHER,
    "noone_12347_67892_essay.pdf": b"%PDF",
    "zipper_12348_67893_work.zip": zipped({NAME: GOOD}),
}


@pytest.mark.parametrize("members", [MOODLE, FLAT], ids=["folders", "flat"])
@pytest.mark.parametrize("around", ["", "Lab 1/"])
def test_moodle(tmp_path, take, members, around):
    found, attention = take(lay(tmp_path / "in", {around + name: data for name, data in members.items()}))
    assert set(found) == {("Erin-Moodle-48213", "01"), ("Erin-Moodle-48999", "01")} and not attention
    assert {note.text.partition(":")[0] for submission in found.values() for note in submission.notes} == {
        "'Erin Moodle' came with the numbers 48213, 48999"
    }
    again, _ = take(lay(tmp_path / "later", {next(iter(members)): OTHER}))
    assert set(again) == set(found)


def test_nothing_is_said_about_a_name_that_is_certain(tmp_path, take):
    found, _ = take(lay(tmp_path / "in", {f"Erin Moodle_48213_assignsubmission_file_/{NAME}": GOOD}))
    assert [submission.notes for submission in found.values()] == [()]


@pytest.mark.parametrize("around", ["", "submissions/"])
def test_canvas(tmp_path, take, around):
    found, attention = take(lay(tmp_path / "in", {around + name: data for name, data in CANVAS.items()}))
    assert set(found) == {("smithjane-12345", "01"), ("leeann-12346", "01"), ("zipper-12348", "01")}
    assert [row.student for row in attention] == ["noone-12347"]
    assert found["smithjane-12345", "01"].notes == (("late", "The platform marked it as late."),)
    assert found["leeann-12346", "01"].notes == ()
    again, _ = take(lay(tmp_path / "later", {"smithjane_12345_70001_01_doubling-1.ipynb": OTHER}))
    assert set(again) == set(found)
    assert not any(note.kind == "renamed" for s in again.values() for note in s.notes)
