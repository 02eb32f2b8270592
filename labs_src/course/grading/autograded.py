"""The notebook that formgrader shows: a student's own cells, the verdicts, and nothing that could run in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import notebook_text, write_atomically
from labs_src.course.grading import written
from labs_src.course.grading.gradebook import PREFIX, said
from labs_src.course.grading.submission import Result

TAG = re.compile(r"<(?=[A-Za-z/!?])")


def answers(notebook: Any, release: Any) -> dict[str, str]:
    """For each hand-graded cell of a lab what the student wrote; "" where that is nothing.

    Args:
        notebook: The student's cells, as dicts.
        release: From `gradebook.released`.
    """
    graded = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    asked = {_grade_id(cell): cell.source for cell in graded if cell.metadata["nbgrader"].get("solution")}
    return written.answers(notebook, asked)


def assemble(notebook: Any, release: Any, result: Result) -> Any:
    """The student's cells in their order, with the release's cells where they have to be the release's.

    Check cells are the release's and have the verdict as output. Metadata of nbgrader are the release's; a cell that
    claims another's is not believed. What was deleted is put at the end, so that every grade has a place.

    Args:
        notebook: The student's cells, as dicts.
        release: From `gradebook.released`.
        result: The verdicts.
    """
    import nbformat.v4 as v4

    official = {_grade_id(cell): cell for cell in release.cells if _grade_id(cell)}
    verdicts = {f"{PREFIX}{exercise.name}": exercise for exercise in result.exercises}
    cells, used = [], set()
    for cell in notebook:
        name = _grade_id(cell)
        if name in official and name not in used and cell["cell_type"] == official[name].cell_type:
            used.add(name)
            cells.append(_official(official[name], cell["source"], verdicts.get(name)))
        else:
            cells.append(_plain(cell))
    for name, cell in official.items():
        if name in used:
            continue
        data = cell.metadata["nbgrader"]
        if data.get("grade") or data.get("solution"):
            text = "*This cell was deleted.*" if cell.cell_type == "markdown" else "# This cell was deleted."
            cells.append(_official(cell, text, verdicts.get(name)))
    for position, cell in enumerate(cells):
        cell["id"] = f"c{position:04d}"
    made = v4.new_notebook(cells=cells)
    made.metadata = release.metadata
    return made


def write(root: Path, lab: Lab, result: Result, notebook: Any, release: Any) -> Path:
    """Write it to nbgrader's place below `root`, whole or not at all."""
    target = root / "autograded" / result.student / lab.slug / f"{lab.slug}.ipynb"
    write_atomically(target, notebook_text(assemble(notebook, release, result)))
    return target


def _official(cell: Any, source: str, verdict: Any) -> Any:
    import nbformat.v4 as v4

    data = dict(cell.metadata["nbgrader"])
    if not data.get("solution"):
        source = cell.source
    metadata = {"nbgrader": data}
    if cell.cell_type != "code":
        return v4.new_markdown_cell(defused(source), metadata=metadata)
    outputs = [] if verdict is None else [v4.new_output("stream", name="stdout", text="\n".join(said(verdict)) + "\n")]
    return v4.new_code_cell(source, metadata=metadata, outputs=outputs)


def _plain(cell: Any) -> Any:
    import nbformat.v4 as v4

    if cell["cell_type"] == "code":
        return v4.new_code_cell(cell["source"])
    return v4.new_markdown_cell(defused(cell["source"]))


def defused(text: str) -> str:
    """Markdown without HTML of its own: a script in a submission must not run in the instructor's formgrader."""
    return TAG.sub("&lt;", text)


def _grade_id(cell: Any) -> str:
    metadata = cell.get("metadata", {}) if isinstance(cell, dict) else cell.metadata
    name = metadata.get("nbgrader", {}).get("grade_id")
    return name if isinstance(name, str) else ""
