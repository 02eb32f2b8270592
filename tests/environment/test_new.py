"""`labs new`: a skeleton that builds, passes its own checks, and never replaces anything."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

from labs_src.checks.contract import run
from labs_src.course.cells import read_source
from labs_src.course.errors import Problem
from labs_src.course.new import create
from labs_src.paths import ROOT


@pytest.mark.parametrize("name", ["topic", "1_topic", "15-topic", "15_Topic", "15_", "15_a__b", "../15_topic"])
def test_bad_names_are_explained(tmp_path, name):
    with pytest.raises(Problem, match="such as 15_topic"):
        create(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_it_refuses_to_overwrite(tmp_path):
    first = create("15_topic", tmp_path)
    before = [path.read_bytes() for path in first]
    for name in ("15_topic", "15_another"):
        with pytest.raises(Problem, match="exists already"):
            create(name, tmp_path)
    assert [path.read_bytes() for path in first] == before
    assert len(list(tmp_path.rglob("*.py"))) == 3


def test_the_skeleton_is_a_lab(tmp_path):
    source, checks, _ = create("15_some_topic", tmp_path)
    notebook = read_source(source)
    grades = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert grades == ["some_topic_example", "check_some_topic_example"]
    assert "@" not in checks.read_text().replace("@ ", "")
    text = source.read_text()
    for wanted in ("# # 15 Some topic", "What this does not show", "Recap", "record(", 'tags=["parameters"]'):
        assert wanted in text
    assert all(len(cell.source.splitlines()) <= 15 for cell in notebook.cells if cell.cell_type == "code")


def test_the_skeleton_is_clean(tmp_path):
    create("15_topic", tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in ([*ruff, "check", *config, "--ignore", "E501", "."], [*ruff, "format", *config, "--check", "."]):
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def test_its_check_rejects_and_accepts_what_its_answers_say(tmp_path, monkeypatch):
    source, checks, answers = create("15_topic", tmp_path)
    (exercise,) = runpy.run_path(str(checks))["EXERCISES"]
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "wrong_answers"))
    written = runpy.run_path(str(answers))["topic_example"]
    try:
        assert len(written.wrongs) >= 3 and len(written.rights) >= 2
        for says, wrong in written.wrongs:
            assert says in "\n".join(run(exercise, {exercise.name: wrong}).lines())
            assert not any(run(exercise, {exercise.name: wrong}, seed).passed for seed in range(100, 110))
        for right in written.rights:
            assert run(exercise, {exercise.name: right}, range(100, 110)).passed
    finally:
        sys.modules["answers"].ALL.pop("topic_example", None)  # the course's own answers are listed there too
    cells = [cell.source for cell in read_source(source).cells if cell.cell_type == "code"]
    namespace = {}
    exec(next(cell for cell in cells if cell.startswith("def ")), namespace)
    assert run(exercise, namespace).passed
