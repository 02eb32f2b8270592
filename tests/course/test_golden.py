"""Expected numbers change only when somebody says so."""

from __future__ import annotations

import json
import re

import pytest

from labs_src.course import golden
from labs_src.course.build import build
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders
from labs_src.course.records import judge, near


def record(value: float, tolerance: float | None = 0.1, must: str | None = None) -> dict:
    return {"name": "a", "value": value, "tolerance": tolerance, "why": "why", "must": must, "unit": None}


def expected(value: float, tolerance: float | None = 0.1) -> dict:
    return {"expected": value, "tolerance": tolerance, "why": "why"}


def test_a_new_record_is_added_at_six_digits() -> None:
    entries, objections = golden.merge({}, {"a": record(1.23456789)})
    assert objections == []
    assert entries == {"a": expected(1.23457)}


def test_within_tolerance_the_expected_value_stays() -> None:
    entries, objections = golden.merge({"a": expected(1.0)}, {"a": record(1.05)})
    assert objections == []
    assert entries["a"]["expected"] == 1.0


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({"a": record(1.2)}, "a = 1.2, expected 1 ± 0.1"),
        ({"a": record(0.95, must="> 1")}, "misses its floor (must be > 1)"),
        ({}, "a vanished"),
    ],
)
def test_refused_unless_accepted(new: dict, words: str) -> None:
    old = {"a": expected(1.0)}
    _, objections = golden.merge(old, new)
    assert len(objections) == 1
    assert words in objections[0]
    entries, objections = golden.merge(old, new, accept=True)
    assert objections == []
    assert [entry["expected"] for entry in entries.values()] == [r["value"] for r in new.values()]


def test_a_time_is_never_compared() -> None:
    entries, objections = golden.merge({"a": expected(None, None)}, {"a": record(99.0, tolerance=None)})
    assert objections == []
    assert entries["a"]["expected"] is None


def test_rounding_in_the_file_is_no_drift() -> None:
    assert near(123456.4, 123456.0, 0.4)
    assert not near(123456.9, 123456.0, 0.4)
    assert not near(float("nan"), 1.0, 0.1)


def test_verdicts() -> None:
    found = {"good": record(1.0), "low": record(0.5, must="> 0.8"), "moved": record(2.0), "new": record(1.0)}
    golden_entries = {"good": expected(1.0), "low": expected(0.5), "moved": expected(1.0), "gone": expected(1.0)}
    problems = {name: judged["problem"] for name, judged in judge(found, golden_entries).items()}
    assert problems == {"good": None, "low": "missed its floor", "moved": "drifted", "new": "new", "gone": "missing"}


def test_a_build_that_is_refused_changes_nothing(course: Folders) -> None:
    table = json.loads(course.golden.read_text())
    assert table["mini"]["00"]["doubled"] == {"expected": 42.0, "tolerance": 0.5, "why": "exact in floats"}
    table["mini"]["00"]["doubled"]["expected"] = 50.0
    golden.save(course.golden, table)
    source = course.sources / "01_waiting.py"
    source.write_text(source.read_text() + "\nimport labs_src\nprint(labs_src.__file__)\n")
    files = [course.golden, *course.notebooks.glob("*.ipynb")]
    before = [file.read_bytes() for file in files]
    with pytest.raises(Problem) as refused:
        build(folders=course)
    assert before == [file.read_bytes() for file in files]
    refused_notebook = course.build / "refused" / "00_doubling.ipynb"  # nothing in it changed: a build is repeatable
    assert refused_notebook.read_bytes() == (course.notebooks / "00_doubling.ipynb").read_bytes()
    lines = sorted(str(refused.value).splitlines())
    assert re.search(r"doubled = 42, expected 50 ± 0\.5.*--only 00 --accept.*build/refused/00_doubling", lines[0])
    assert re.search(r"Lab 01 was not written: .*names a folder of this machine", lines[1])


def test_damaged_golden_file_says_how_to_restore_it(course: Folders) -> None:
    course.golden.write_text("{")
    with pytest.raises(Problem, match=r"not valid JSON.*git checkout"):
        golden.load(course.golden)
