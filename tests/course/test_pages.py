"""The report and its pages open offline, show plots and maths, and describe figures in words."""

from __future__ import annotations

import re

import nbformat
import pytest

from labs_src.course import pages
from labs_src.course.report import changes


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    markdown = nbformat.v4.new_markdown_cell(
        "# Title\n\nInline $W_{OV}$, then\n\n$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$"
    )
    figure = {"data": [{"type": "scatter", "y": [1, 2]}], "layout": {"title": {"text": "</script> is harmless"}}}
    output = nbformat.v4.new_output(
        "display_data",
        {pages.PLOTLY: figure},
        metadata={"interp_workbook": {"figure": {"title": "A line", "alt": 'A line that "rises" from one to two.'}}},
    )
    code = nbformat.v4.new_code_cell("show(figure)", outputs=[output], execution_count=1)
    said = nbformat.v4.new_output("display_data", {"text/markdown": "It is $x^2$.", "text/plain": "It"})
    injected = nbformat.v4.new_code_cell("injected_cell = 1", metadata={"tags": ["injected-parameters"]})
    return nbformat.v4.new_notebook(cells=[markdown, injected, code, nbformat.v4.new_code_cell("say", outputs=[said])])


def test_a_page_holds_everything(notebook: nbformat.NotebookNode) -> None:
    text = pages.page(notebook, "A title")
    assert text.count("<math") == 3
    assert "<mtable" in text
    assert "$" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    assert """aria-label='A line that "rises" from one to two.'""" in text
    assert '<script defer src="plotly.min.js">' in text
    assert "<\\/script> is harmless" in text
    assert "injected_cell" not in text
    assert pages.PLOTLY in notebook.cells[2].outputs[0].data  # the notebook itself is as it was


def test_a_page_asks_the_network_for_nothing(notebook: nbformat.NotebookNode) -> None:
    text = pages.page(notebook, "A title")
    assert re.findall(r'(?:src|href)="(?!#|plotly\.min\.js|index\.html)[^"]*"', text) == []
    assert "@import" not in text
    assert "url(http" not in text


def test_without_figures_the_script_is_left_out() -> None:
    plain = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("words")])
    assert "plotly" not in pages.page(plain, "A title").split("</style>")[1]
    assert pages.plotly_script().stat().st_size > 1e6


@pytest.mark.parametrize("formula", [r"\unknownmacro{x}", r"\begin{nothing} a \end{nothing}"])
def test_a_formula_that_cannot_be_drawn_is_shown_as_it_was_typed(formula: str) -> None:
    with pytest.raises(ValueError, match="not convertible"):
        pages.converted(formula, display=False)
    assert pages.mathml(formula, display=False).startswith('<code class="math">')


def test_changes_since_the_last_run() -> None:
    def report(status: str, **records: float) -> dict:
        entries = {name: {"value": value, "tolerance": 0.1} for name, value in records.items()}
        return {"tier": "mini", "labs": [{"id": "02", "status": status, "records": entries}]}

    assert changes(report("passed", a=1.0), report("passed", a=1.0)) == []
    assert changes(report("passed", a=1.0, b=2.0), report("drifted", a=1.5)) == [
        "02: passed → drifted",
        "02 a: 1 → 1.5",
        "02 b is gone",
    ]
