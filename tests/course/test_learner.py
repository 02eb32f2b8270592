"""Learner copies: stubs without solutions, made once, never touched again."""

from __future__ import annotations

import json

import pytest

from labs_src.course.catalogue import select
from labs_src.course.cells import notebook_text, read_source
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders
from labs_src.course.learner import MARKER, learner_copy, make_copies


def test_copies_have_stubs_and_no_solutions(course: Folders) -> None:
    lines = make_copies(folders=course)
    assert len(lines) == 2
    text = (course.work / "00_doubling.ipynb").read_text()
    for fragment in ("secret_of_the_solution", "SOLUTION", "Only teachers", "solution-only", "seven is 7"):
        assert fragment not in text
    cells = json.loads(text)["cells"]
    stub = next("".join(cell["source"]) for cell in cells if "def double" in "".join(cell["source"]))
    assert stub.splitlines()[1:] == [
        '    """Twice x."""',
        "    raise NotImplementedError('write this, then run the next cell')",
    ]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)
    assert json.loads(text)["metadata"]["kernelspec"]["name"] == "python3"
    assert (course.work / MARKER).exists()


def test_a_second_call_changes_nothing(course: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    make_copies(folders=course)
    mine = course.work / "00_doubling.ipynb"
    mine.write_bytes(mine.read_bytes() + b"\n half-solved, even broken")
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in course.work.iterdir()}
    monkeypatch.setattr("labs_src.course.learner.learner_copy", lambda lab: pytest.fail("converted again"))
    assert make_copies(folders=course) == []
    assert before == {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in course.work.iterdir()}


def test_a_changed_lab_is_offered_beside_once(course: Folders) -> None:
    make_copies(folders=course)
    mine, beside = course.work / "00_doubling.ipynb", course.work / "00_doubling.new.ipynb"
    mine.write_bytes(b"mine")
    source = course.sources / "00_doubling.py"
    source.write_text(source.read_text().replace("seven is", "eight is"))
    (line,) = make_copies(folders=course)
    assert "00_doubling.ipynb is yours and stays as it is" in line
    assert "00_doubling.new.ipynb" in line
    assert mine.read_bytes() == b"mine"
    assert "eight is" in beside.read_text()
    assert make_copies(folders=course) == []
    (course.work / MARKER).unlink()  # what each copy was made from is no longer known
    before = beside.stat().st_mtime_ns
    assert make_copies(folders=course) == []
    assert (mine.read_bytes(), beside.stat().st_mtime_ns) == (b"mine", before)


def test_a_deleted_copy_is_made_again(course: Folders) -> None:
    make_copies(["00"], folders=course)
    (course.work / "00_doubling.ipynb").unlink()
    assert len(make_copies(["00"], folders=course)) == 1
    assert not (course.work / "01_waiting.ipynb").exists()


def test_a_solution_outside_a_solution_cell_is_refused(course: Folders) -> None:
    source = course.sources / "01_waiting.py"
    source.write_text(source.read_text() + "\n# %%\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n")
    with pytest.raises(Problem, match="Lab 01"):
        learner_copy(select(["01"], course)[0])


def test_the_copy_is_the_same_file_every_time(course: Folders) -> None:
    lab = select(["00"], course)[0]
    assert notebook_text(learner_copy(lab)) == notebook_text(learner_copy(lab))
    ids = {cell.id for cell in read_source(lab.source).cells}
    assert {cell.id for cell in learner_copy(lab).cells} < ids
