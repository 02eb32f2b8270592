"""Releases: nothing of a solution goes out, and what goes out is what learners' copies are."""

from __future__ import annotations

import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from labs_src.course.catalogue import Lab, labs, select
from labs_src.course.cells import read_source
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders
from labs_src.course.grading.buttons import REFUSAL
from labs_src.course.grading.classfolder import ClassFolder
from labs_src.course.grading.release import release, summary
from labs_src.course.learner import CLEARED, STUB, learner_copy

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's own, of SQLAlchemy

REGION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", re.DOTALL)
SHORTEST = 20
"""Characters without spaces; a shorter line (`return x`) says nothing by itself."""
TAUGHT = {
    ("01", "centred=x-x.mean(-1,keepdim=True)"),  # shown below the exercise, for another purpose
    ("09", "g=torch.Generator().manual_seed(seed)"),  # how every sample of the lab is drawn
    ("09", "returnfloat((best_cosines(A,B).mean()+best_cosines(B,A).mean())/2)"),  # given above, as pwmcc
}
"""Lines of a solution that the lab also shows, and why that gives nothing away."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ClassFolder:
    """Every lab that there is, released as an instructor does it."""
    classroom = ClassFolder(tmp_path_factory.mktemp("class"))
    release(None, classroom)
    return classroom


@pytest.fixture(scope="module")
def small_master(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class with the first lab of the test course released; not to be changed."""
    classroom = ClassFolder(tmp_path_factory.mktemp("small") / "class")
    release(["00"], classroom, Folders.below(built))
    return classroom.root


@pytest.fixture
def small(small_master: Path, tmp_path: Path) -> ClassFolder:
    """A copy of it, to be changed."""
    return ClassFolder(Path(shutil.copytree(small_master, tmp_path / "class")))


def fragments(lab: Lab) -> set[str]:
    """Lines and pairs of lines, without spaces, of solutions, cells for teachers and hidden tests."""
    found = []
    for cell in read_source(lab.source).cells:
        data, text = cell.metadata.get("nbgrader", {}), cell.source
        regions = REGION.findall(text) + HIDDEN.findall(text)
        if data.get("solution") and not REGION.findall(text):
            regions = [text]
        if "solution-only" in cell.metadata.get("tags", []):
            regions = [text]
        for region in regions:
            lines = [squeezed for line in region.splitlines() if (squeezed := re.sub(r"\s", "", line))]
            found += lines + ["\n".join(pair) for pair in pairwise(lines)]
    return {text for text in found if len(text) >= SHORTEST and (lab.id, text) not in TAUGHT}


@pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.id)
def test_no_fragment_of_a_solution(lab, everything):
    folder = everything.release / lab.slug
    assert [path.name for path in folder.iterdir()] == [f"{lab.slug}.ipynb"]
    whole = (folder / f"{lab.slug}.ipynb").read_text(encoding="utf-8")
    cells = json.loads(whole)["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    squeezed = "\n".join(re.sub(r"\s", "", line) for text in texts for line in text.splitlines() if line.strip())
    secret = fragments(lab)
    assert secret, "the lab has no solutions to hide"
    assert [line for line in secret if line in squeezed] == []
    assert not any(cell.get("outputs") or cell.get("execution_count") or cell.get("attachments") for cell in cells)
    assert "SOLUTION" not in whole and "HIDDEN TESTS" not in whole and "solution-only" not in whole
    assert sum(STUB in text for text in texts) + sum("*Write your answer here.*" in text for text in texts) == len(
        [c for c in read_source(lab.source).cells if c.metadata.get("nbgrader", {}).get("solution")]
    )


@pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.id)
def test_a_release_is_a_learners_copy_with_locked_checks(lab, everything):
    cells = json.loads((everything.release / lab.slug / f"{lab.slug}.ipynb").read_text(encoding="utf-8"))["cells"]
    assert ["".join(cell["source"]) for cell in cells] == [cell.source for cell in learner_copy(lab).cells]
    for cell in cells:
        data = cell["metadata"].get("nbgrader", {})
        if data.get("locked"):
            assert cell["metadata"]["editable"] is False and data["checksum"]


def test_the_gradebook_knows_every_exercise(everything):
    from nbgrader.api import Gradebook

    with Gradebook(everything.db_url) as gradebook:
        for lab in labs():
            cells = {cell.name: cell.max_score for cell in gradebook.find_notebook(lab.slug, lab.slug).grade_cells}
            graded = [c.metadata["nbgrader"] for c in read_source(lab.source).cells if "nbgrader" in c.metadata]
            assert cells == {data["grade_id"]: data["points"] for data in graded if data["grade"]}
            automatic = sum(points for name, points in cells.items() if name.startswith("check_"))
            assert f"{int(automatic)} point" in summary(lab)


def test_the_search_finds_what_is_left_in(course: Folders):
    lab = select(["00"], course)[0]
    assert {"secret_of_the_solution=2", "Onlyteachersreadthis."} <= fragments(lab)


def test_a_failed_release_leaves_the_former_one(course: Folders, small: ClassFolder):
    classroom = small
    first = classroom.release / "00_doubling" / "00_doubling.ipynb"
    before = first.read_bytes()
    source = course.sources / "00_doubling.py"
    text = source.read_text()
    source.write_text(text + "\n# %%\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n")
    with pytest.raises(Problem, match=r"Lab 00 was not released, the former release stays: .*solution"):
        release(["00"], classroom, course)
    assert first.read_bytes() == before
    assert [path.name for path in classroom.release.iterdir()] == ["00_doubling"]
    source.write_text(text.replace("seven is", "eight is"))
    release(["00"], classroom, course)
    assert "eight is" in first.read_text()


def test_a_lab_that_was_handed_in_is_not_released_with_other_exercises(course: Folders, small: ClassFolder):
    from nbgrader.api import Gradebook

    classroom = small
    with Gradebook(classroom.db_url) as gradebook:
        gradebook.add_student("ann")
        gradebook.add_submission("00_doubling", "ann")
    source = course.sources / "00_doubling.py"
    source.write_text(source.read_text().replace('"check_double"', '"check_twice"'))
    with pytest.raises(Problem, match="Students have handed it in with other exercises"):
        release(["00"], classroom, course)


def test_formgraders_buttons(small: ClassFolder, tmp_path: Path):
    """Autograde must not run students' code without the sandbox, nor touch what is there; Generate hides solutions."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config.loader import PyFileConfigLoader

    classroom, released = small, small.release / "00_doubling" / "00_doubling.ipynb"
    for step in ("submitted", "autograded"):
        folder = classroom.root / step / "ann" / "00_doubling"
        folder.mkdir(parents=True)
        shutil.copy(released, folder)
    moved = classroom.root.rename(tmp_path / "moved")
    config = PyFileConfigLoader("nbgrader_config.py", path=str(moved)).load_config()
    assert config.CourseDirectory.root == str(moved) and "db_url" not in config.CourseDirectory
    assert config.ClearSolutions == CLEARED["ClearSolutions"]
    api = NbGraderAPI(config=config)
    before = {path: path.stat().st_mtime_ns for path in moved.rglob("*.ipynb")}
    result = api.autograde("00_doubling", "ann", force=True)
    assert not result["success"] and REFUSAL in result["error"]
    assert before == {path: path.stat().st_mtime_ns for path in moved.rglob("*.ipynb")}
    assert api.generate_assignment("00_doubling")["success"]
    again = (moved / "release" / "00_doubling" / "00_doubling.ipynb").read_text()
    assert "secret_of_the_solution" not in again and "Only teachers" not in again


def test_points_of_a_check_and_its_cell_agree(tmp_path: Path):
    real = Folders.default()
    shutil.copytree(real.sources, tmp_path / "notebooks" / "source")
    copy = Folders.below(tmp_path)
    source = next(copy.sources.glob("00_*.py"))
    source.write_text(
        source.read_text().replace(
            '"check_unit_directions", "locked": true, "points": 2',
            '"check_unit_directions", "locked": true, "points": 7',
        )
    )
    with pytest.raises(Problem, match="gives 2 points, the lab says 7 points"):
        release(["00"], ClassFolder(tmp_path / "class"), copy)


@pytest.mark.skipif(os.name != "posix", reason="permissions as on Unix")
def test_a_class_is_for_its_instructor_alone(tmp_path: Path):
    classroom = ClassFolder(tmp_path / "term" / "class")
    classroom.make()
    assert classroom.root.stat().st_mode & 0o077 == 0
