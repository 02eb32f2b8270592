"""nbgrader's exchange: only what was handed in is taken, and nothing that lies in it is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from handed_in import lay, notebook, zipped

from labs_src.course.errors import Problem
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.inbound import newer
from labs_src.course.grading.intake import Intake

NAME = "01_doubling.ipynb"
GOOD = notebook("def double(x):\n    return 2 * x")
OTHER = notebook("def double(x):\n    return x + x")
STUB = notebook("def double(x):\n    raise NotImplementedError")
FIRST = "ann+01_doubling+2026-11-02 10:00:00.000000 UTC"
LATER = "ann+01_doubling+2026-11-03 10:00:00.000000 UTC"


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    """An exchange with this course in it, and another."""
    members = {
        f"inbound/{FIRST}/{NAME}": GOOD,
        f"inbound/{FIRST}/timestamp.txt": b"2026-11-02 10:00:00.000000 UTC",
        f"outbound/01_doubling/{NAME}": STUB,
        "feedback/0f3a/01_doubling.html": b"<p>",
        f"cache/bob/01_doubling/{NAME}": STUB,
    }
    lay(tmp_path / "exchange/interp-workbook", members)
    return lay(tmp_path / "exchange", {f"other/{name}": data for name, data in members.items()})


@pytest.mark.parametrize("which", [".", "interp-workbook", "interp-workbook/inbound"])
def test_only_what_was_handed_in(take, exchange, which):
    found, attention = take(exchange / which)
    assert set(found) == {("ann", "01")} and not attention


def test_a_zip_of_an_exchange(tmp_path, take, exchange):
    course = exchange / "interp-workbook"
    for around in ("", "interp-workbook/"):
        members = {around + p.relative_to(course).as_posix(): p.read_bytes() for p in course.rglob("*") if p.is_file()}
        (tmp_path / "all.zip").write_bytes(zipped(members))
        found, attention = take(tmp_path / "all.zip")
        assert set(found) == {("ann", "01")} and not attention


@pytest.mark.parametrize("which", ["outbound", "feedback", "cache"])
def test_what_is_given_out_is_refused(take, exchange, which):
    with pytest.raises(Problem, match=r"Handed in is: .*inbound"):
        take(exchange / "interp-workbook" / which)


def test_an_exchange_of_other_courses(take, exchange):
    (exchange / "interp-workbook").rename(exchange / "third")
    with pytest.raises(Problem, match="several courses"):
        take(exchange)


@pytest.mark.parametrize("which", [".", "release", "source", "grading/arrived"])
def test_the_class_itself_was_not_handed_in(tmp_path, take, which):
    lay(tmp_path / "class" / which / "01_doubling", {NAME: STUB})
    with pytest.raises(Problem, match="belongs to the class itself"):
        take(tmp_path / "class" / which)


def test_what_collect_passed_over_is_named(tmp_path, take, labs, exchange):
    classroom = ClassFolder(tmp_path / "class")
    classroom.make()
    with (classroom.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.Exchange.root = {str(exchange)!r}\n")
    place = exchange / "interp-workbook" / "inbound"
    assert newer(Intake(classroom, labs)) == (place, [("ann", "01")])
    take(exchange)
    assert newer(Intake(classroom, labs)) == (place, [])
    lay(place / LATER, {NAME: OTHER})
    assert newer(Intake(classroom, labs)) == (place, [("ann", "01")])
    take(exchange)
    assert newer(Intake(classroom, labs)) == (place, [])
