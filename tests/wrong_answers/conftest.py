"""Helpers for the answers' tests. The table that the test run ends with is made in tests/conftest.py."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the answers' files are not a package


def _source(lab: str) -> Path:
    from labs_src.paths import SOURCES

    return next(SOURCES.glob(f"{lab}_*.py"))


def _definitions(lab: str) -> str:
    """A lab's imports, functions and constants: what its exercises may lean on, without running the lab."""
    tree = ast.parse(_source(lab).read_text(encoding="utf-8"))
    keep = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    body = [node for node in tree.body if isinstance(node, keep)]
    return ast.unparse(ast.Module(body=body, type_ignores=[]))


@pytest.fixture(scope="session")
def lab_namespace():
    """lab id -> a fresh namespace with the lab's definitions."""

    def make(lab: str) -> dict:
        namespace: dict = {}
        exec(compile(_definitions(lab), f"<lab {lab}>", "exec"), namespace)
        return namespace

    return make


@pytest.fixture(scope="session")
def stub(lab_namespace):
    """(lab, exercise) -> the function as the learner's copy has it."""
    from labs_src.course.catalogue import select
    from labs_src.course.folders import Folders
    from labs_src.course.learner import learner_copy

    copies = {}

    def make(lab: str, name: str):
        if lab not in copies:
            copies[lab] = learner_copy(select([lab], Folders.default())[0])
        cells = (cell for cell in copies[lab].cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)
        namespace = lab_namespace(lab)
        namespace.pop(name, None)
        exec(compile(next(cells).source, f"<stub of {name}>", "exec"), namespace)
        return namespace[name]

    return make


@pytest.fixture(autouse=True)
def _say_which_exercise(request, record_property):
    params = getattr(getattr(request.node, "callspec", None), "params", {})
    kinds = {"test_wrong_answer_is_rejected": "wrong", "test_right_answer_is_accepted": "right"}
    kind = kinds.get(request.node.originalname)
    if kind:
        record_property("exercise", params["name"])
        record_property("kind", kind)
