"""Notebooks as students hand them in, made from a lab's learner copy (a lab of the small test course)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path


def notebook(*sources: str, **extra: object) -> bytes:
    """A notebook of code cells."""
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, "id": f"c{i}"}
        for i, source in enumerate(sources)
    ]
    whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **extra}
    return json.dumps(whole).encode()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip in memory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def lay(root: Path, members: Mapping[str, bytes]) -> Path:
    """Files below a folder."""
    for name, data in members.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
