"""Which statements of a notebook are definitions, and for which exercises they are not enough."""

from __future__ import annotations

import pytest

from labs_src.course.grading.inside.cells import plain, sources, statements
from labs_src.course.grading.inside.definitions import plan
from labs_src.course.grading.inside.runner import define
from labs_src.course.grading.inside.signs import signs


def made(*cells: str, exercises: tuple[str, ...] = ("f",)):
    found, unreadable = statements(list(cells))
    return plan(found, list(exercises)), unreadable


def namespace(*cells: str) -> dict:
    result, _ = made(*cells)
    values: dict = {}
    assert define(result.run, values) == []
    return values


@pytest.mark.parametrize(
    "cells",
    [
        ("def f(x):\n    return x",),
        ("import math", "x = 3", "SCALE = 2 * math.pi", "def f(x):\n    return SCALE * x", "print(f(2))"),
        ("def f(x):\n    return g(x)", "def g(x):\n    return x", "y = f(3)\ny.append"),
        ("f = lambda x: x",),
        ("from functools import partial", "def g(a, x):\n    return x", "f = partial(g, 1)"),
        ("W = [1]", "def f(W):\n    W.append(2)\n    return W", "W = run()"),  # a local name of the function
        ("%matplotlib inline\ndef f(x):\n    return x", "!pip install something", "%%time\nf(3)"),
        ("try:\n    import numpy as np\nexcept ImportError:\n    np = None", "def f(x):\n    return np"),
        ("names = ['a', 'b']", "def f(x):\n    return names[x]"),
        ("import torch", "torch.set_grad_enabled(False)", "def f(x):\n    return torch"),
        ("class A:\n    k = 3", "def f(x):\n    return A.k"),
        ("def broken(:", "def f(x):\n    return x"),
        ("import torch", "F = torch.nn.functional\ndef f(x):\n    return F.relu(x)", "y = F.relu(load())"),
        ("import torch", "device = torch.device('cpu')", "def f(x):\n    return x.to(device)", "model.to(device)"),
        ("HEADS = [(1, 4), (1, 5)]", "def f(x):\n    return HEADS", "for head in HEADS:\n    show(head)"),
        ("HEADS = [(1, 4), (1, 5)]", "def f(x):\n    return len(HEADS)", "print(HEADS)\ny = load(HEADS[0])"),
        ("def f(x):\n    return x", "print(vars(thing))"),
    ],
)
def test_definitions_are_enough(cells):
    result, _ = made(*cells)
    assert result.whole == {} and result.missing == []
    assert any("f" in statement.stores for statement in result.run)


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (("SCALE = compute()", "def f(x):\n    return SCALE * x"), "SCALE"),
        (("def f(x):\n    return g(x)", "def g(x):\n    return h", "h = load()"), "h"),
        (("def f(x):\n    return x", "f = decorate(f)"), "f"),
        (("for f in make():\n    pass",), "f"),
        (("CACHE = {}", "def f(x):\n    return CACHE", "CACHE['a'] = load()"), "CACHE"),
        (("CACHE = []", "def f(x):\n    return CACHE", "fill(CACHE)"), "CACHE"),
        (("CACHE = []", "def f(x):\n    return CACHE", "other = CACHE\nother.append(load())"), "CACHE"),
        (("CACHE = []", "def f(x):\n    CACHE.append(x)\n    return CACHE", "f(load())"), "CACHE"),
        (("A = []", "B = A", "def f(x):\n    return A", "B.append(load())"), "A"),
        (("import torch", "def f(x):\n    return torch.relu(x)", "torch.relu = compute()"), "torch"),
        (("k = 1", "def set_k():\n    global k\n    k = 2", "def f(x):\n    return k", "set_k()"), "k"),
        (("def f(x):\n    return x", "exec('f = 3')"), "exec"),
        (("def f(x):\n    return x", "globals()['f'] = 3"), "globals"),
        (("def f(x):\n    return x", "vars()['f'] = 3"), "vars"),
        (("if compute():\n    def f(x):\n        return x",), "f"),
        (("def f(x, scale=load()):\n    return x", "load = compute()"), "load"),
        (("with context():\n    def f(x):\n        return x",), "f"),
    ],
)
def test_the_whole_notebook_is_needed(cells, name):
    result, _ = made(*cells)
    assert name in result.whole["f"]


def test_an_exercise_that_nothing_defines_is_missing_at_once():
    result, _ = made("def g(x):\n    return x", "print(3)")
    assert result.missing == ["f"] and result.whole == {}


def test_only_what_is_needed_runs():
    result, _ = made(
        "import pandas as pd", "import math", "def f(x):\n    return math.pi", "def table():\n    return pd"
    )
    assert {name for statement in result.run for name in statement.stores} == {"math", "f"}


def test_later_definitions_win():
    values = namespace("def f(x):\n    return 1", "def f(x):\n    return 2")
    assert values["f"](0) == 2


def test_a_cell_that_is_not_python_is_named():
    result, unreadable = made("def f(:\n    pass", "def g(x):\n    return x")
    assert unreadable == {0: "line 1, `def f(:`: invalid syntax"} and result.missing == ["f"]


def test_a_definition_that_fails_leaves_the_others():
    found, _ = statements(
        ["import nothing_of_this_name", "def f(x):\n    return 1", "@nothing_of_this_name\ndef g(x): pass"]
    )
    values: dict = {}
    errors = define(plan(found, ["f", "g"]).run, values)
    assert values["f"](0) == 1 and "g" not in values
    assert [error["cell"] for error in errors] == [1, 3]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", "x = 1"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("if x:\n    !ls\n    y = 2", "if x:\n    pass\n    y = 2"),
        ("files = !ls", "files = None"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%bash\nrm -rf /", ""),
        ("torch.relu?", "pass"),
        ("x = 7 % 3", "x = 7 % 3"),
    ],
)
def test_magics(source, expected):
    assert plain(source) == expected


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 100_000, b'{"cells": 3}', b'{"cells": [{}]}', b"\xff\xfe"])
def test_what_is_not_a_notebook_is_refused(data):
    with pytest.raises(ValueError, match="not a notebook"):
        sources(data)


def test_the_course_itself_shows_no_signs():
    """Nothing in a lab as it is handed out looks like an attack."""
    from labs_src.course.catalogue import select
    from labs_src.course.learner import learner_copy

    for lab in select(None):
        cells = [cell.source for cell in learner_copy(lab).cells if cell.cell_type == "code"]
        assert signs(cells, statements(cells)[0]) == [], lab.id


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("import subprocess", "programs"),
        ("from os import system as s\nimport os\nos.fork()", "os.fork"),
        ("import torch\ntorch.allclose = lambda *a: True", "replaces"),
        ("!cat /etc/passwd", "runs"),
        ("open('x')", "opens"),
        ("import sys\nsys._getframe(1)", "inspects"),
        ("path = '/proc/1/mem'", "path"),
        ("from labs_src.checks import lab02", "labs_src.checks"),
    ],
)
def test_signs(source, word):
    found = signs([source], statements([source])[0])
    assert any(word in sign["what"] for sign in found), found


def test_every_labs_exercises_are_graded_from_definitions():
    """The usual path is the fast one: no lab's own exercises need the whole notebook."""
    from labs_src.checks import exercises, lab_ids
    from labs_src.course.catalogue import select
    from labs_src.course.cells import read_source

    for lab in (lab for lab in select(None) if lab.id in lab_ids()):
        cells = [cell.source for cell in read_source(lab.source).cells if cell.cell_type == "code"]
        result, _ = made(*cells, exercises=tuple(e.name for e in exercises(lab.id)))
        assert result.whole == {} and result.missing == [], (lab.id, result.whole, result.missing)
