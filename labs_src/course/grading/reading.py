"""A handed-in file as a notebook that can be trusted to be one: what it holds, and which lab it is. Nothing is run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import KERNELSPEC, read_source

MAX_CELLS = 2000
DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
STARTED = re.compile(r"^\s*start\(\s*[\"'](\d\d)[\"']", re.MULTILINE)
TYPES = ("code", "markdown", "raw")


@dataclass(frozen=True)
class Read:
    """A notebook's cells, without outputs, attachments and what an editor adds.

    Attributes:
        cells: Plain dicts with cell_type, source, metadata (tags and nbgrader only).
        functions: Names defined in code cells.
        grade_ids: Of nbgrader's metadata.
        started: Labs named in `start("NN")`.
        older: Whether it was in a notebook format before version 4.
    """

    cells: tuple[dict[str, Any], ...]
    functions: frozenset[str]
    grade_ids: frozenset[str]
    started: frozenset[str]
    older: bool

    def content(self) -> bytes:
        """The notebook as a file: the same bytes for the same cells."""
        cells = [
            {**cell, "id": f"c{position:04d}"}
            | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {})
            for position, cell in enumerate(self.cells)
        ]
        metadata = {"kernelspec": dict(KERNELSPEC), "language_info": {"name": "python"}}
        whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()


class Unreadable(Exception):
    """Why a file cannot be graded: one clause that follows the file's name."""


def read(data: bytes) -> Read:
    """The cells of an .ipynb file.

    Raises:
        Unreadable: It is empty, not JSON, not a notebook, or has nothing in it.
    """
    if not data.strip():
        raise Unreadable("is empty")
    try:
        whole = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("is not a notebook (it is not text)") from None
    except (ValueError, RecursionError):
        raise Unreadable(f"is not a notebook ({_looks_like(data)})") from None
    if not isinstance(whole, dict):
        raise Unreadable("is not a notebook (JSON, but without cells)")
    older = "worksheets" in whole
    raw = whole.get("cells")
    if older:
        raw = [
            cell for sheet in _list(whole["worksheets"]) if isinstance(sheet, dict) for cell in _list(sheet["cells"])
        ]
    if not isinstance(raw, list):
        raise Unreadable("is not a notebook (JSON, but without cells)")
    if len(raw) > MAX_CELLS:
        raise Unreadable(f"has {len(raw)} cells; at most {MAX_CELLS} are read")
    cells = tuple(filter(None, map(_cell, raw)))
    if not any(cell["source"].strip() for cell in cells):
        raise Unreadable("is a notebook without anything in it")
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    ids = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells}
    return Read(
        cells,
        frozenset(DEFINITION.findall(code)),
        frozenset(name for name in ids if isinstance(name, str)),
        frozenset(STARTED.findall(code)),
        older,
    )


def restored(notebook: Read, release: Sequence[Any]) -> Read:
    """The notebook with nbgrader's metadata put back where an editor dropped it (Colab does).

    An exercise is found by its function, a check by its text, an answer in words by the released cell before it.

    Args:
        notebook: As handed in.
        release: The cells that were released.
    """
    ids = set(notebook.grade_ids)
    cells = [{**cell, "metadata": dict(cell["metadata"])} for cell in notebook.cells]
    texts = [cell["source"].strip() for cell in cells]
    released = {cell.source.strip() for cell in release}
    for before, cell in zip([None, *release], release):
        data = cell.metadata.get("nbgrader")
        if not data or data["grade_id"] in ids:
            continue
        if cell.cell_type == "code" and data.get("solution"):
            found = [i for i, text in enumerate(texts) if data["grade_id"] in DEFINITION.findall(text)]
        elif data.get("solution"):
            after = [i + 1 for i, text in enumerate(texts) if before is not None and text == before.source.strip()]
            found = [
                i for i in after if i < len(cells) and (texts[i] not in released or texts[i] == cell.source.strip())
            ]
        else:
            found = [i for i, text in enumerate(texts) if text == cell.source.strip()]
        free = [i for i in found if "nbgrader" not in cells[i]["metadata"] and cells[i]["cell_type"] == cell.cell_type]
        if free:
            cells[free[-1]]["metadata"]["nbgrader"] = dict(data)  # of several definitions Python keeps the last
            ids.add(data["grade_id"])
    return replace(notebook, cells=tuple(cells), grade_ids=frozenset(ids))


def lab_of(notebook: Read, labs: Sequence[Lab]) -> Lab | None:
    """The lab that most of a notebook's exercises belong to; None when it has none of any."""
    best, most = None, 0
    for lab in labs:
        names = exercises_of(lab)
        ids = names | {f"check_{name}" for name in names}
        score = 2 * len(names & notebook.functions) + len(ids & notebook.grade_ids) + (lab.id in notebook.started)
        if score > most:
            best, most = lab, score
    return best


@cache
def exercises_of(lab: Lab) -> frozenset[str]:
    """The grade ids of a lab's solution cells: its functions and written answers."""
    cells = read_source(lab.source).cells
    return frozenset(
        c.metadata["nbgrader"]["grade_id"] for c in cells if c.metadata.get("nbgrader", {}).get("solution")
    )


def _cell(raw: Any) -> dict[str, Any] | None:
    if not isinstance(raw, dict):
        return None
    source = raw.get("source", raw.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        return None
    kind = raw.get("cell_type")
    metadata, kept = raw.get("metadata"), {}
    if isinstance(metadata, dict):
        tags, nbgrader = metadata.get("tags"), metadata.get("nbgrader")
        if isinstance(tags, list):
            kept["tags"] = [tag for tag in tags if isinstance(tag, str)]
        if isinstance(nbgrader, dict):
            kept["nbgrader"] = {k: v for k, v in nbgrader.items() if isinstance(v, str | int | float | bool)}
    return {"cell_type": kind if kind in TYPES else "markdown", "source": source, "metadata": kept}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _looks_like(data: bytes) -> str:
    head = data[:512].lstrip().lower()
    for start, what in ((b"%pdf", "a PDF"), (b"pk", "a zip or an Office document"), (b"<", "a web page")):
        if head.startswith(start):
            return f"it looks like {what}"
    return "it is cut off, or it is something else" if head.startswith(b"{") else "it is something else"
