"""The committed notebooks: built from their sources, executed, described in words, and safe to hand to learners."""

from __future__ import annotations

import re

import pytest

from labs_src.course.catalogue import Lab, labs
from labs_src.course.cells import read_notebook, read_source
from labs_src.course.freshness import freshness
from labs_src.course.learner import learner_copy
from labs_src.course.pages import PLOTLY, converted
from labs_src.course.records import figures

LABS = labs()
each_lab = pytest.mark.parametrize("lab", LABS, ids=[lab.slug for lab in LABS])


def test_there_are_labs() -> None:
    assert {"00", "01", "02"} <= {lab.id for lab in LABS}


@each_lab
def test_fresh(lab: Lab) -> None:
    """Before nbval has a say: it passes an unexecuted notebook without looking."""
    assert freshness(lab) == []


@each_lab
def test_learner_copies_hold_no_solution(lab: Lab) -> None:
    source, copy = read_source(lab.source), learner_copy(lab)
    text = "\n".join(cell.source for cell in copy.cells)
    for cell in source.cells:
        for solution in re.findall(r"### BEGIN SOLUTION\n(.*?)\n\s*### END SOLUTION", cell.source, re.DOTALL):
            assert solution.strip() not in text


@each_lab
def test_every_formula_can_be_drawn_offline(lab: Lab) -> None:
    for cell in read_source(lab.source).cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"```.*?```|`[^`\n]*`", "", cell.source, flags=re.DOTALL)
        for display, inline in re.findall(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$(?!\$)", text, re.DOTALL):
            converted(display or inline, display=bool(display))


@each_lab
def test_every_figure_is_described(lab: Lab) -> None:
    notebook = read_notebook(lab.notebook)
    drawn = sum(PLOTLY in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    described = figures(notebook)
    assert drawn == len(described)
    assert all(len(figure["alt"].split()) >= 5 for figure in described)
