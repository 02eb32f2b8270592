"""The zip for students: all that a released lab needs, and nothing that holds an answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from labs_src.course.errors import Problem
from labs_src.course.grading.students import FOLDER, pack
from labs_src.paths import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    with zipfile.ZipFile(pack(folder / "students.zip")) as whole:
        whole.extractall(folder)
    return folder / FOLDER


def labs(here: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LABS_")} | {
        "PYTHONPATH": str(here)
    }
    command = [sys.executable, "-m", "labs_src.course.cli", *arguments]
    return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)


def test_everything_lies_in_one_folder_without_notebooks_and_tests(unpacked):
    assert [path.name for path in unpacked.parent.iterdir() if path.is_dir()] == [FOLDER]
    names = {path.name for path in unpacked.iterdir()}
    assert {"install.py", "labs_src", "data", "README.md", "work"} <= names
    assert not {"notebooks", "tests", "docs", "CONTRIBUTING.md", "benchmarks", ".git", "build", "class"} & names
    assert not list(unpacked.rglob("*.ipynb")) and not list(unpacked.rglob("__pycache__"))


def test_no_solution_is_in_it(unpacked):
    """Solved functions are in notebooks/source only; their names may occur, the cells that solve them may not."""
    from labs_src.course.catalogue import select
    from labs_src.course.cells import read_source

    text = "\n".join(path.read_text("utf-8") for path in unpacked.rglob("*.py"))
    cells = [cell.source for lab in select(None) for cell in read_source(lab.source).cells]
    solved = [source for source in cells if "BEGIN SOLUTION" in source and source.startswith("def ")]
    assert len(solved) > 100
    assert not [source for source in solved if source in text or source.partition("### BEGIN SOLUTION\n")[2] in text]


def test_the_commands_of_its_readme_work(unpacked):
    empty = labs(unpacked, "lab", "--no-serve")
    assert empty.returncode == 0 and "Put the notebooks that you were given into work/." in empty.stdout, empty.stderr
    fetched = unpacked / "work" / "00_start_here"  # where nbgrader's exchange puts it
    fetched.mkdir()
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", fetched)
    assert labs(unpacked, "lab", "--no-serve").stdout == ""
    progress = labs(unpacked, "progress")
    assert progress.returncode == 0 and "Traceback" not in progress.stderr
    assert labs(unpacked, "doctor").returncode in (0, 1)


def test_the_same_course_gives_the_same_zip(tmp_path):
    assert pack(tmp_path / "a.zip").read_bytes() == pack(tmp_path / "b.zip").read_bytes()


def test_half_a_clone_is_refused(tmp_path):
    with pytest.raises(Problem, match="no labs_src: make the zip in a whole clone"):
        pack(tmp_path / "x.zip", root=tmp_path)
    assert not (tmp_path / "x.zip").exists()
