"""A notebook as data: reading a source, comparing cells, hashing what matters, writing without half-written files."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from labs_src.course import quick  # noqa: F401  (first: it makes the imports below fast)
from labs_src.course.errors import DiskFull, Problem, is_disk_full
from labs_src.course.folders import shown

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT = ("tags", "nbgrader", "jupyter")
STAMP = "interp_workbook"


def read_source(path: Path) -> Any:
    """A py:percent source as a notebook: kernelspec python3, ids that depend on position and content only.

    Raises:
        Problem: jupytext cannot read it.
    """
    import jupytext

    try:
        notebook = jupytext.read(path, fmt="py:percent")
    except Exception as error:
        raise Problem(f"{shown(path)} cannot be read as a py:percent notebook: {error}") from error
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = {"kernelspec": dict(KERNELSPEC), "language_info": {"name": "python"}}
    for position, cell in enumerate(notebook.cells):
        cell.metadata = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        if cell.cell_type == "code" and cell.source.startswith("say("):
            # Prose with computed numbers: folded away, or it would tell the result before the cell is run.
            cell.metadata["jupyter"] = {"source_hidden": True}
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()
        cell.id = f"{position:03d}-{digest[:8]}"
    return notebook


def read_notebook(path: Path) -> Any:
    """An .ipynb file.

    Raises:
        Problem: It is not a notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise Problem(f"{shown(path)} is not a readable notebook ({type(error).__name__}). {rebuild()}") from error


def rebuild(lab_id: str | None = None) -> str:
    """How to make a notebook again; the end of every message about one."""
    return "Rebuild it with: make notebooks" + (f' ARGS="--only {lab_id}"' if lab_id else "")


def essence(cell: Any) -> tuple[str, str, tuple[str, ...], str]:
    """What a cell says, apart from its outputs: type, source, tags, nbgrader metadata."""
    metadata = cell.metadata
    return (
        cell.cell_type,
        cell.source,
        tuple(sorted(metadata.get("tags", []))),
        json.dumps(metadata.get("nbgrader", {}), sort_keys=True),
    )


def source_hash(notebook: Any) -> str:
    """sha256 of every cell's essence, in order."""
    return _hash([essence(cell) for cell in notebook.cells])


def outputs_hash(notebook: Any) -> str:
    """sha256 of every code cell's outputs, in order."""
    return _hash([cell.get("outputs", []) for cell in notebook.cells if cell.cell_type == "code"])


def notebook_text(notebook: Any) -> str:
    """The file that Jupyter would write, keys sorted so that two builds give the same bytes."""
    import nbformat

    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, a crash leaves the old one.

    Raises:
        DiskFull: No space left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if is_disk_full(error):
            message = f"The disk is full: {shown(path)} could not be written. Free some space and repeat."
            raise DiskFull(message) from error
        raise


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
