"""What comes out of a sandbox, as hostile as it may be, becomes a message; and what goes in is what a check sees."""

from __future__ import annotations

import json
import os
import struct
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from handed_in import notebook
from safetensors.torch import save

from labs_src.checks import contract, exercises, lab_ids, probes
from labs_src.checks.crossing import TREE, pack, unpack
from labs_src.course.catalogue import select
from labs_src.course.grading import machine, sandbox
from labs_src.course.grading.cases import MESSAGE, answered, clean, draw, sent, without_numbers
from labs_src.course.grading.inside import frames
from labs_src.course.grading.judging import judge
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.submission import Submission

EXERCISES = [exercise for lab in select(None) if lab.id in lab_ids() for exercise in exercises(lab.id)]


def packed(tree, **tensors) -> bytes:
    return save(tensors, metadata={TREE: tree if isinstance(tree, str) else json.dumps(tree)})


DEEP = '{"dict": [["value", ' + '{"list": [' * 5000 + '{"json": 1}' + "]}" * 5000 + "]]}"
MONSTERS = {
    "nothing": b"",
    "noise": b"\x00\xff" * 50,
    "a header longer than the file": struct.pack("<Q", 1 << 62) + b"{}",
    "not json": struct.pack("<Q", 4) + b"nope",
    "no tree": save({"a": torch.ones(1)}),
    "a tree of nothing": packed({}),
    "an unknown kind": packed({"dict": [["value", {"pickle": "cos\nsystem\n"}]]}),
    "a missing tensor": packed({"dict": [["value", {"tensor": "other"}]]}),
    "no value": packed({"dict": [["other", {"json": 1}]]}),
    "deep": packed(DEEP),
    "nan": pack({"value": torch.full((4, 6), float("nan"))}),
    "infinite": pack({"value": float("inf")}),
    "empty": pack({"value": torch.zeros(0, 1 << 40)}),
    "long text": pack({"value": "x" * 1_000_000}),
    "many entries": pack({"value": {str(i): i for i in range(20_000)}}),
    "a large number": packed('{"dict": [["value", {"json": 1' + "0" * 4000 + "}]]}"),
    "not a float": packed({"dict": [["value", {"float": "0x1p+99999999"}]]}),
    "complex": packed({"dict": [["value", {"tensor": "a"}]]}, a=torch.ones(4, 6, dtype=torch.complex64)),
    "float8": packed({"dict": [["value", {"tensor": "a"}]]}, a=torch.ones(4, 6).to(torch.float8_e4m3fn)),
    "text where a list was": packed({"dict": "value"}),
    "none": pack({"value": None}),
}


@pytest.mark.parametrize("data", MONSTERS.values(), ids=MONSTERS.keys())
@pytest.mark.parametrize("lab", ["00", "03"])
def test_no_value_stops_the_judge(data, lab):
    for exercise in exercises(lab):
        for part in exercise.parts:
            outcome = answered({"error": None}, data)
            message = contract.judge(part, part.inputs(np.random.default_rng(0)), outcome)
            assert message, f"{exercise.name} accepts it"
            assert len(clean(message)) <= MESSAGE


@pytest.mark.parametrize(
    "header", [{"error": 3}, {"error": ["x"]}, {"unwritten": "yes"}, {"changed": 5}, {"changed": [[]]}, {}]
)
def test_no_header_stops_the_judge(header):
    outcome = answered(header, pack({"value": 1.0}))
    assert outcome.error is None and outcome.unwritten is False and outcome.changed == ()


def test_messages_are_short_and_without_control_characters():
    assert clean("a\x1b[31m\n\nb\x00c" + "x" * 10_000).startswith("a [31m b c")
    assert len(clean("x" * 10_000)) == MESSAGE
    assert without_numbers("got tensor([0.123, -4.5e-03, 7]) at 1.") == "got tensor([…, …, 7]) at …"


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_inputs_and_probes_cross_unchanged(exercise):
    """A function next to the submission gets what it would get from the visible check, to the bit and in order."""
    for case in draw(exercise, b"\x01" * 32, 1):
        there = unpack(case.packed)
        assert list(there) == list(sent(case.inputs))
        assert contract.identical(there, sent(case.inputs))
        part = exercise.parts[case.part]
        assert probes.from_json(json.loads(json.dumps(case.asked["probe"]))) == part.probe


def test_inputs_are_the_submissions_own():
    exercise = exercises("00")[1]
    one, again, other = (draw(exercise, bytes([n]) * 32, 2) for n in (1, 1, 2))
    assert all(contract.identical(a.inputs, b.inputs) for a, b in zip(one, again, strict=True))
    assert not any(contract.identical(a.inputs, b.inputs) for a, b in zip(one, other, strict=True))
    assert not contract.identical(one[0].inputs, one[1].inputs)


def test_inputs_of_one_exercise_say_nothing_about_another():
    """Else a function could keep what it was given for the function that is asked next."""
    seen: list[torch.Tensor] = []
    for exercise in exercises("02"):
        for case in draw(exercise, b"\x01" * 32, 2):
            tensors = [
                v
                for v in case.inputs.values()
                if isinstance(v, torch.Tensor) and v.is_floating_point() and v.numel() > 3
            ]
            assert not any(a.shape == b.shape and torch.equal(a, b) for a in tensors for b in seen)
            seen += tensors


def test_what_only_the_judge_may_know_is_not_sent():
    assert sent({"x": 1, "_kind": "right", "cases": [{"_kind": 2, "y": 3}]}) == {"x": 1, "cases": [{"y": 3}]}


def test_a_probe_that_could_not_cross_is_refused():
    with pytest.raises(TypeError, match="probes"):
        probes.to_json(lambda fn, inputs: None)


@pytest.fixture(scope="module")
def judged():
    """Names, and a result: a function that is missing, a loop, cells that are not Python."""
    names = [exercise.name for exercise in exercises("02") if not exercise.given]
    broken, _, loop, twice = names[:4]
    cells = (
        f"# <b>mine</b>\n\ndef {broken}(*a, **k):\n    x = 1\n    return x + <b>\n",
        f"def {loop}(*a, **k):\n    while True:\n        pass\n",
        f"def {twice}(x:\n    return x",
        f"def {twice}(*a, **k):\n    return 0",
        "ok = 1\n1 +",
    )
    submission = Submission("ann", "02", notebook(*cells))
    limits = replace(Limits(), exercise_s=2.0)
    how = sandbox.kind("error" in machine.trial())
    return names, judge(submission, secret_seed="seed", checks="checks", limits=limits, how=how)


def test_a_cell_that_is_not_python_is_named_by_its_exercise_and_quoted(judged):
    (name, *_), result = judged
    rows = [row for row in result.attention if row.exercise == name]
    message = "this cell is not Python: line 5, `return x + <b>`: invalid syntax"
    assert [(row.kind, row.message) for row in rows] == [("syntax", f"0 points: {message}")], "once"
    (exercise,) = [e for e in result.exercises if e.name == name]
    assert (exercise.state, exercise.points) == ("syntax", 0)
    assert {criterion["message"] for criterion in exercise.criteria} == {message}
    assert not any("code cell" in row.message or "unknown" in row.message for row in result.attention)


def test_zeros_are_called_zeros_in_the_list(judged):
    (_, missing, loop, *_), result = judged
    said = {row.exercise: (row.kind, row.message) for row in result.attention if row.exercise}
    message = f"there is no function called {missing}; keep the name that the stub has"
    assert said[missing] == ("missing", f"0 points: {message}")
    assert said[loop] == ("timeout", "0 points: it took longer than 2 s, so it was stopped")


def test_a_cell_that_is_not_python_and_costs_nothing_is_said_too(judged):
    (_, _, _, twice, *_), result = judged
    cells = [(row.exercise, row.message) for row in result.attention if row.kind == "cells"]
    assert (twice, f"a cell is not Python: line 1, `def {twice}(x:`: '(' was never closed") in cells
    assert ("", "the cell that begins `ok = 1` is not Python: line 2, `1 +`: invalid syntax") in cells
    assert {e.name: e.state for e in result.exercises}[twice] == "judged"


def test_frames():
    reading, writing = os.pipe()
    frames.send(writing, {"kind": "answer"}, b"abc")
    assert frames.receive(reading, limit=10) == ({"kind": "answer"}, b"abc")
    for noise in (
        b"x" * 16,
        frames.PREFIX.pack(frames.MAGIC, 2, 11) + b"{}",
        frames.PREFIX.pack(frames.MAGIC, 1 << 31, 0),
    ):
        os.write(writing, noise)
        with pytest.raises(frames.Broken):
            frames.receive(reading, limit=10, deadline=time.monotonic() + 1)
        os.set_blocking(reading, False)
        while True:
            try:
                os.read(reading, 1000)
            except BlockingIOError:
                break
        os.set_blocking(reading, True)
    for header in (b"[]", b"[" * 100_000, b"nope"):
        os.write(writing, frames.PREFIX.pack(frames.MAGIC, len(header), 0) + header[:60_000])
        if len(header) < 60_000:
            with pytest.raises(frames.Broken):
                frames.receive(reading, limit=10, deadline=time.monotonic() + 1)
            continue
        with pytest.raises(frames.Late):
            frames.receive(reading, limit=10, deadline=time.monotonic() + 0.2)
    os.close(writing)
    with pytest.raises(frames.Broken):
        frames.receive(reading, limit=10)
