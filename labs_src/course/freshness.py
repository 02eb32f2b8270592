"""Whether a committed notebook is what its source gives: executed, unedited, without errors."""

from __future__ import annotations

from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import STAMP, essence, outputs_hash, read_notebook, read_source, rebuild, source_hash
from labs_src.course.errors import Problem


def freshness(lab: Lab) -> list[str]:
    """What is wrong with a lab's notebook; empty when nothing is. Every line says how to rebuild it.

    Args:
        lab: From the catalogue.
    """
    again = rebuild(lab.id)
    if not lab.notebook.exists():
        return [f"{lab.notebook.name} does not exist. {again}"]
    try:
        notebook = read_notebook(lab.notebook)
    except Problem as problem:
        return [str(problem)]
    source = read_source(lab.source)
    stamp = notebook.metadata.get(STAMP, {})
    problems = []
    if "source_sha256" not in stamp or "outputs_sha256" not in stamp:
        problems.append(f"{lab.notebook.name} was not built from its source: it has no stamp. {again}")
    elif source_hash(source) != stamp["source_sha256"]:
        problems.append(f"{lab.notebook.name} is stale: {lab.source.name} has changed since it was built. {again}")
    elif source_hash(notebook) != stamp["source_sha256"]:
        where = _first_difference(notebook, source)
        problems.append(
            f"{lab.notebook.name} was edited by hand ({where}): edits belong in source/{lab.source.name}. {again}"
        )
    elif outputs_hash(notebook) != stamp["outputs_sha256"]:
        problems.append(f"{lab.notebook.name} has outputs edited by hand: outputs come from running it. {again}")
    problems += [f"{lab.notebook.name}: {what}. {again}" for what in _cells(notebook)]
    return problems


def _cells(notebook: Any) -> list[str]:
    """Code cells that were not run, and cells that ended in an error. nbval passes the first kind without looking."""
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    unrun = [i for i, cell in code if cell.execution_count is None]
    failed = [i for i, cell in code if any(output.output_type == "error" for output in cell.outputs)]
    problems = []
    if unrun:
        problems.append(f"{len(unrun)} code cell{'s' * (len(unrun) > 1)} not executed (first: cell {unrun[0]})")
    if failed:
        problems.append(f"cell {failed[0]} ends in an error")
    return problems


def _first_difference(notebook: Any, source: Any) -> str:
    for i, (ours, theirs) in enumerate(zip(notebook.cells, source.cells)):
        if essence(ours) != essence(theirs):
            return f"cell {i}"
    return f"{len(notebook.cells)} cells instead of {len(source.cells)}"
