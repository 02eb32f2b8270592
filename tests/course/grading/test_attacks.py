"""Hostile submissions through the whole path, honest ones beside them: nothing is gained, nobody else is touched."""

from __future__ import annotations

import csv
import os
import re
import time

import hostile
import psutil
import pytest

from labs_src import paths
from labs_src.course.grading import gradebook, machine, sandbox
from labs_src.course.grading.grade import grade
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.submission import Submission

LIMITS = Limits(exercise_s=6, definitions_s=8, memory_mb=2500, total_mb=1500, processes=32, seeds=2)
NAMES = list(hostile.submissions("", ""))
pytestmark = pytest.mark.skipif(
    "error" in machine.trial(), reason=f"no sandbox can be made here: {machine.trial().get('error')}"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """All of them in one run, two at a time."""
    course = tmp_path_factory.mktemp("class")
    marked = hostile.submissions(str(paths.ROOT), str(course))
    handed_in = [Submission(name, "00", hostile.notebook(*one.cells)) for name, one in marked.items()]
    report = grade(handed_in, course=course, limits=LIMITS, jobs=2, say=lambda line: None)
    return course, marked, {result.student: result for result in report.results}, report


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_gained(graded, name):
    _, marked, results, _ = graded
    said = [criterion["message"] for exercise in results[name].exercises for criterion in exercise.criteria]
    assert results[name].state == "graded"
    assert results[name].points == marked[name].points, said
    assert not any("leaked" in message for message in said), said
    assert marked[name].says in " ".join(said)


@pytest.mark.parametrize("name", [name for name in NAMES if hostile.submissions("", "")[name].seen])
def test_a_person_is_told(graded, name):
    _, marked, results, report = graded
    kinds = {row.kind for row in results[name].attention}
    assert kinds & set(marked[name].seen), results[name].attention
    with report.attention_csv.open(encoding="utf-8") as file:
        assert name in {row["student"] for row in csv.DictReader(file)}


def test_honest_students_are_not_on_the_list(graded):
    _, _, results, _ = graded
    assert not any(results[name].attention for name in hostile.HONEST_ONES)


def test_the_gradebook_has_what_was_earned(graded):
    course, marked, _, _ = graded
    rows = {row["student"]: row for row in gradebook.marks(f"sqlite:///{course / 'gradebook.db'}")}
    for name, one in marked.items():
        assert rows[name]["score"] == one.points
        assert rows[name]["manual"] is None


def test_feedback_does_not_quote_inputs(graded):
    _, _, results, _ = graded
    messages = [c["message"] for e in results["quotes_the_input"].exercises for c in e.criteria]
    assert all("…" in message and not re.search(r"\d\.\d", message) for message in messages), messages


def test_nothing_is_left_running(graded):
    time.sleep(0.5)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(98765)" in " ".join(p.info["cmdline"] or [])]
    if sandbox.kind().root:
        theirs = [p for p in psutil.process_iter(["uids", "status"]) if p.info["uids"].real in range(210_000, 210_100)]
        assert not [p for p in theirs if p.info["status"] != psutil.STATUS_ZOMBIE]


def test_nothing_is_left_on_disk(graded):
    assert not os.path.exists("/tmp/owned-by-a-pickle")
    assert not os.path.exists("/tmp/link")
    assert not os.path.exists("/tmp/fill0")


def test_no_check_is_compiled_into_what_is_shown(graded):
    """Compiled modules of a class are readable in its sandboxes."""
    course, _, _, _ = graded
    assert not [path for path in (course / "grading" / "bytecode").rglob("*.pyc") if path.name.startswith("lab0")]


def test_what_formgrader_shows_runs_nothing(graded):
    course, _, _, _ = graded
    for path in course.glob("autograded/*/*/*.ipynb"):
        assert '"text/html"' not in path.read_text(encoding="utf-8")
