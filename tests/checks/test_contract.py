"""The contract: fresh inputs, a probe that only calls, a judge that names what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import UNWRITTEN, Exercise, Part, copied, identical, judge, probe, run


def _exercise(*parts: Part) -> Exercise:
    hints = ("one", "two", "three")
    return Exercise("double", "99", "Doubling", parts, hints, "Doubling", difficulty=1, importance=1, minutes=1)


def _inputs(rng) -> dict:
    return {"x": normal(rng, 3, 4)}


DOUBLE = Part(
    "twice the tensor", 2, _inputs, expect(lambda x: x * 2, mistakes=(Mistake("that is the square", lambda x: x**2),))
)
ZERO = Part("zero stays zero", 1, lambda rng: {"x": torch.zeros(2, 3)}, expect(lambda x: x))


def test_right_answer_gets_all_points():
    verdict = run(_exercise(DOUBLE, ZERO), {"double": lambda x: x + x})
    assert verdict.passed and verdict.points == 3 == verdict.max_points


def test_partial_credit_and_named_mistake():
    verdict = run(_exercise(DOUBLE, ZERO), {"double": lambda x: x * x})
    assert (verdict.passed, verdict.points) == (False, 1)
    assert "that is the square" in "\n".join(verdict.lines())


def test_argument_names_do_not_matter():
    assert run(_exercise(DOUBLE), {"double": lambda anything: 2 * anything}).passed


def test_stub_is_unwritten_and_earns_nothing():
    def double(x):
        raise NotImplementedError(UNWRITTEN)

    verdict = run(_exercise(ZERO), {"double": double})
    assert verdict.unwritten and verdict.points == 0 and "not written yet" in verdict.lines()[0]


def test_a_stub_that_the_function_calls_is_named():
    def helper(x):
        raise NotImplementedError(UNWRITTEN)

    def double(x):
        return helper(x) * 2

    verdict = run(_exercise(ZERO), {"double": double})
    assert not verdict.unwritten and "it calls helper, which is not written yet" in "\n".join(verdict.lines())


def test_an_operation_that_torch_lacks_is_no_stub():
    verdict = run(_exercise(DOUBLE), {"double": lambda x: (x > 0).T @ (x > 0)})
    assert not verdict.unwritten and "NotImplementedError" in "\n".join(verdict.lines())


def test_missing_function_is_said():
    assert run(_exercise(ZERO), {}).unwritten


def test_name_that_is_no_function():
    verdict = run(_exercise(ZERO), {"double": 3})
    assert "not a function" in "\n".join(verdict.lines())


def test_error_names_the_line():
    def double(x):
        y = x * 2
        return y @ y

    text = "\n".join(run(_exercise(DOUBLE), {"double": double}).lines())
    assert "RuntimeError" in text and "line 3 of the function" in text


def test_changing_the_argument_in_place_is_wrong():
    def double(x):
        x *= 2
        return x

    text = "\n".join(run(_exercise(DOUBLE), {"double": double}).lines())
    assert "changes its argument x in place" in text


def test_returning_none():
    assert "return" in "\n".join(run(_exercise(DOUBLE), {"double": lambda x: None}).lines())


def test_inputs_depend_on_seed_and_part_only():
    first, again, other = (DOUBLE.inputs(np.random.default_rng([s, 0]))["x"] for s in (5, 5, 6))
    assert identical(first, again) and not identical(first, other)


def test_a_part_passes_only_on_every_seed():
    remembered = {}

    def double(x):
        remembered.setdefault("first", x * 2)
        return remembered["first"]

    assert not run(_exercise(DOUBLE), {"double": double}).passed


def test_probe_hands_out_copies_of_nested_values():
    part = Part("nested", 1, lambda rng: {"weights": {"W": torch.ones(2)}, "names": ["a"]}, expect(lambda w, n: 1))

    def spoil(weights, names):
        weights["W"] += 1
        names.append("b")
        return 1

    inputs = part.inputs(np.random.default_rng(0))
    outcome = probe(part, {"double": spoil}, "double", inputs)
    assert outcome.changed == ("weights", "names") and inputs["weights"]["W"].sum() == 2
    assert "in place" in judge(part, inputs, outcome)


@pytest.mark.parametrize("value", [torch.tensor([1.0, float("nan")]), {"a": [1, (2.5, "x")]}, True])
def test_copied_is_identical(value):
    assert identical(value, copied(value))


def test_identical_tells_types_apart():
    assert not identical(1, True) and not identical(torch.ones(2), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(
    "value", [torch.empty(3, 4, device="meta"), torch.nn.Linear(2, 2), iter([1]), {1: 2}, [[1, 2], [3]]]
)
def test_strange_values_are_wrong_and_stop_nothing(value):
    verdict = run(_exercise(DOUBLE), {"double": lambda x: value})
    assert not verdict.passed and verdict.criteria[0].message
