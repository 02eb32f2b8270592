"""A test of a test: nbval passes a built notebook's cells, and fails those in which one number was changed."""

from __future__ import annotations

import re
import subprocess
import sys

from course_commands import environment

from labs_src import paths
from labs_src.course.folders import Folders
from labs_src.course.testing import nbval_options


def test_a_changed_number_fails_its_cell_and_no_other(course: Folders) -> None:
    notebook = course.notebooks / "00_doubling.ipynb"
    text = notebook.read_text()
    for old, new in (("seven is 7", "seven is 8"), ("doubled ≈ 42.0", "doubled ≈ 41.0")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    notebook.write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *nbval_options(), notebook.name]
    env = environment(course, PYTHONPATH=str(paths.ROOT))
    result = subprocess.run(command, cwd=course.notebooks, env=env, capture_output=True, text=True)
    verdicts = {}
    for verdict, cell in re.findall(r"^(PASSED|FAILED) \S+?\.ipynb::(?:Cell )?(\d+)", result.stdout, re.MULTILINE):
        verdicts[int(cell)] = verdict
    # code cells: parameters, solution, its check, record, print
    assert [verdicts[i] for i in range(5)] == ["PASSED", "PASSED", "PASSED", "FAILED", "FAILED"], result.stdout
    assert result.returncode == 1
