"""Every lab's own solutions through the whole path: full marks, from definitions alone, and nothing to look at."""

from __future__ import annotations

import pytest

from labs_src.checks import exercises, lab_ids
from labs_src.course.catalogue import select
from labs_src.course.cells import notebook_text, read_source
from labs_src.course.grading import machine
from labs_src.course.grading.grade import grade
from labs_src.course.grading.submission import Submission

LABS = [lab for lab in select(None) if lab.id in lab_ids() and any(not e.given for e in exercises(lab.id))]
pytestmark = pytest.mark.skipif(
    "error" in machine.trial(), reason=f"no sandbox can be made here: {machine.trial().get('error')}"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One submission for each lab."""
    handed_in = [Submission("teacher", lab.id, notebook_text(read_source(lab.source)).encode()) for lab in LABS]
    report = grade(handed_in, course=tmp_path_factory.mktemp("class"), jobs=2, say=lambda line: None)
    return {result.lab: result for result in report.results}


@pytest.mark.parametrize("lab", [lab.id for lab in LABS])
def test_solutions_get_full_marks(graded, lab):
    result = graded[lab]
    lost = [e for e in result.exercises if e.points != e.max_points]
    wrong = [(e.name, e.state, [c["message"] for c in e.criteria]) for e in lost]
    assert not wrong
    assert result.path == "definitions"
    assert result.attention == ()
