"""A stale, unexecuted, hand-edited or failed notebook is named, with the way to rebuild it."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest

from labs_src.course.catalogue import select
from labs_src.course.cells import outputs_hash, read_notebook, read_source
from labs_src.course.folders import Folders
from labs_src.course.freshness import freshness

AGAIN = 'Rebuild it with: make notebooks ARGS="--only 00"'


def edit(folders: Folders, change: Callable) -> list[str]:
    """Change the first lab's notebook and ask."""
    lab = select(["00"], folders)[0]
    notebook = read_notebook(lab.notebook)
    change(notebook)
    nbformat.write(notebook, lab.notebook)
    return freshness(lab)


def last(notebook) -> nbformat.NotebookNode:
    return notebook.cells[-1]


def test_a_built_notebook_is_fresh(course: Folders) -> None:
    assert [freshness(lab) for lab in select([], course)] == [[], []]


@pytest.mark.parametrize(
    ("old", "new"),
    [("seven is", "eight is"), ('tags=["parameters"]', 'tags=["parameters", "plot"]'), ('"points": 2', '"points": 3')],
    ids=["code", "tags", "nbgrader"],
)
def test_a_changed_source_makes_it_stale(course: Folders, old: str, new: str) -> None:
    lab = select(["00"], course)[0]
    lab.source.write_text(lab.source.read_text().replace(old, new))
    assert freshness(lab) == [f"00_doubling.ipynb is stale: 00_doubling.py has changed since it was built. {AGAIN}"]


def test_line_endings_and_comments_outside_cells_do_not(course: Folders) -> None:
    lab = select(["00"], course)[0]
    lab.source.write_bytes(lab.source.read_bytes().replace(b"\n", b"\r\n"))
    assert freshness(lab) == []


def test_an_edited_cell(course: Folders) -> None:
    def change(notebook):
        last(notebook).source += "\nprint('mine')"

    (message,) = edit(course, change)
    assert message.startswith("00_doubling.ipynb was edited by hand (cell ")
    assert message.endswith(AGAIN)


def test_an_edited_output(course: Folders) -> None:
    def change(notebook):
        last(notebook).outputs[-1].text = "seven is 8\n"

    (message,) = edit(course, change)
    assert message == f"00_doubling.ipynb has outputs edited by hand: outputs come from running it. {AGAIN}"


def test_an_unexecuted_notebook(course: Folders) -> None:
    def change(notebook):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count, cell.outputs = None, []
        notebook.metadata.interp_workbook.outputs_sha256 = outputs_hash(notebook)  # not merely hand-edited

    (message,) = edit(course, change)
    assert message == f"00_doubling.ipynb: 5 code cells not executed (first: cell 1). {AGAIN}"


def test_an_error_output(course: Folders) -> None:
    def change(notebook):
        error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
        last(notebook).outputs.append(error)
        notebook.metadata.interp_workbook.outputs_sha256 = outputs_hash(notebook)

    (message,) = edit(course, change)
    assert "ends in an error" in message
    assert message.endswith(AGAIN)


def test_a_missing_one_and_one_that_was_not_built(course: Folders) -> None:
    lab = select(["00"], course)[0]
    (message,) = edit(course, lambda notebook: notebook.metadata.pop("interp_workbook"))
    assert "has no stamp" in message
    lab.notebook.write_text("{")
    assert "is not a readable notebook" in freshness(lab)[0]
    lab.notebook.unlink()
    assert freshness(lab) == [f"00_doubling.ipynb does not exist. {AGAIN}"]


def test_cell_ids_depend_on_position_and_content_only(course: Folders) -> None:
    source = select(["00"], course)[0].source
    ids = [cell.id for cell in read_source(source).cells]
    assert ids == [cell.id for cell in read_source(source).cells]
    assert len(set(ids)) == len(ids)
