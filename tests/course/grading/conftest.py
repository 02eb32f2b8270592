"""A course of two labs of one exercise each, and a class that hands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs_src.course.catalogue import Lab
from labs_src.course.grading import gradebook
from labs_src.course.grading.choice import choose, lay_out
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.intake import Intake

SOURCE = """# %%
print("{name}")

# %% nbgrader={{"grade": false, "grade_id": "{name}", "locked": false, "schema_version": 3, "solution": true}}
def {name}(x):
    return x
"""


@pytest.fixture(scope="session")
def empty_gradebook(tmp_path_factory):
    """Made once: nbgrader asks alembic in a process of its own, which takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "gradebook.db"
    gradebook.opened(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def labs(tmp_path: Path) -> list[Lab]:
    """Two labs of one exercise each."""
    found = []
    for number, (topic, name) in enumerate((("doubling", "double"), ("halving", "halve")), start=1):
        slug = f"{number:02d}_{topic}"
        source = tmp_path / f"{slug}.py"
        source.write_text(SOURCE.format(name=name))
        found.append(Lab(f"{number:02d}", slug, topic, source, tmp_path / f"{slug}.ipynb"))
    return found


@pytest.fixture
def take(tmp_path: Path, labs: list[Lab]):
    """Take places in, choose, and give submissions by (student, lab) with the rows that belong to no lab."""

    def run(*places: Path, only: Lab | None = None, due: dict | None = None):
        intake = Intake(ClassFolder(tmp_path / "class"), labs)
        run.new = [arrival for place in places for arrival in intake.take(place, only)]
        submissions, attention = choose(intake, due or {})
        lay_out(submissions, intake, labs)
        return {(s.student, s.lab): s for s in submissions}, attention

    return run
