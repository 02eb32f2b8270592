"""A course of two tiny labs (no torch), built once for all tests of this folder; each test gets its own copy."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from course_commands import command, environment

from labs_src.course.build import build
from labs_src.course.folders import Folders

HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # {title}
#
# With a formula, $W_{{OV}} = W_V W_O$.

# %% tags=["parameters"]
tier = "mini"
seed = 0

"""
NBGRADER = (
    '{{"grade": {grade}, "grade_id": "{name}", "locked": {grade}, "schema_version": 3, "solution": {solution}, '
    '"task": false{points}}}'
)
SOLUTION = NBGRADER.format(grade="false", name="double", solution="true", points="")
CHECK = NBGRADER.format(grade="true", name="check_double", solution="false", points=', "points": 2')

FIRST = (
    HEADER.format(title="00 Doubling")
    + f"""# %% nbgrader={SOLUTION}
def double(x):
    \"\"\"Twice x.\"\"\"
    ### BEGIN SOLUTION
    secret_of_the_solution = 2
    return secret_of_the_solution * x
    ### END SOLUTION

# %% nbgrader={CHECK}
assert double(2) == 4

# %% [markdown] tags=["solution-only"]
# Only teachers read this.

# %%
import os
from labs_src.lab import record, say

if "LABS_TEST_COUNTER" in os.environ:
    with open(os.environ["LABS_TEST_COUNTER"], "a") as counter:
        counter.write("x")
record("doubled", double(21.0), tolerance=0.5, why="exact in floats", must="> 40")
say("Doubled: {{doubled:.1f}}, which is $2x$.")

# %%
print("seven is", 7)
"""
)
SECOND = (
    HEADER.format(title="01 Waiting")
    + """# %%
import os, time
from labs_src.lab import record

if os.path.exists(os.environ.get("LABS_TEST_WAIT", "")):
    time.sleep(60)
record("halved", 0.25, tolerance=0.01, why="exact in floats")
"""
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The two labs, built by whichever of pytest's workers comes first. Not to be changed."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "built-course"
    done = root / "done"
    try:
        root.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 120
        while not done.exists():
            assert time.monotonic() < deadline, "the other worker did not build the course"
            time.sleep(0.1)
        return root / "course"
    folders = Folders.below(root / "course")
    folders.sources.mkdir(parents=True)
    (folders.sources / "00_doubling.py").write_text(FIRST)
    (folders.sources / "01_waiting.py").write_text(SECOND)
    build(folders=folders)
    done.touch()
    return root / "course"


@pytest.fixture
def course(built: Path, tmp_path: Path) -> Folders:
    """A copy of the built course, to be changed."""
    shutil.copytree(built, tmp_path / "course")
    return Folders.below(tmp_path / "course")


@pytest.fixture
def labs(course: Folders):
    """Run the `labs` command on the course: `labs("run", "--only", "00", VARIABLE="value")`."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*arguments), env=environment(course, **variables), capture_output=True, text=True)

    return run
