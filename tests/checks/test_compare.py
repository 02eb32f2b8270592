"""Messages: what the judge says about a wrong value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labs_src.checks.compare import Mistake, difference, expect, normal

X = normal(np.random.default_rng(0), 3, 4)
SQUARE = normal(np.random.default_rng(1), 4, 4)


@pytest.mark.parametrize(
    ("value", "expected", "says"),
    [
        (X.T, X, "transposed"),
        (SQUARE.T, SQUARE, "transposed"),
        (X.reshape(-1), X, "only the shape is not"),
        (X[:2], X, "expected (3, 4)"),
        (-X, X, "sign"),
        (X * 0.25, X, "0.25 times"),
        (X + 3, X, "same amount (+3)"),
        (X + 0.1 * SQUARE[:3], X, "largest difference is at ["),
        (torch.full_like(X, float("nan")), X, "NaN"),
        (X > 0, X, "expected numbers; got True and False"),
        (X, X > 0, "expected True or False"),
        (None, X, "got None"),
        ("text", X, "got a str"),
        (1.5, 1.0, "got 1.5, expected 1"),
        ((1.0,), (1.0, 2.0), "expected 2 values; got 1"),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}, "lacks b"),
        ({"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 2.0}, "b: got 3"),
        (X.to(torch.complex64), X, "complex"),
        ("b", "a", "got 'b'"),
    ],
)
def test_message(value, expected, says):
    assert says in difference(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (X.double(), X),
        (X.numpy(), X),
        (X.clone().requires_grad_(), X),
        (X + 1e-7, X),
        (torch.tensor(2), 2),
        (torch.tensor([2.0]), 2.0),
        (np.float32(0.5), 0.5),
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        (torch.tensor([1.0, -float("inf")]), torch.tensor([1.0, -float("inf")])),
        (True, True),
        ({"a": X, "b": "kept"}, {"a": X, "b": "kept"}),
    ],
)
def test_accepted(value, expected):
    assert difference(value, expected) is None


def test_finite_where_infinite_was_expected_is_wrong():
    assert difference(torch.tensor([1.0, 0.0]), torch.tensor([1.0, -float("inf")])) is not None


def test_entries_of_a_tuple_have_names():
    judge = expect(lambda x: (x, x), names=("W'", "b'"), axes={"b'": "head n"})
    assert judge({"x": X}, (X, X)) is None
    assert judge({"x": X}, (X, -X)).startswith("b': the sign")
    message = judge({"x": X}, (X, X + torch.eye(3, 4)))
    assert message.startswith("b': 3 of 12 entries") and "(head n)" in message
    assert judge({"x": X}, (X,)) == "expected 2 values (W', b'); got 1"
    assert "(W', b'); got a tensor" in judge({"x": X}, X)
    assert difference((X, -X), (X, X)).startswith("value 1: ")


def test_a_mistake_that_makes_no_difference_explains_nothing():
    judge = expect(lambda x: x, mistakes=(Mistake("never said", lambda x: x), Mistake("said", lambda x: x + 1)))
    assert judge({"x": X}, X + 1) == "said"


def test_tolerance_is_relative_to_the_largest_entry():
    small = torch.tensor([1e-6, 1.0])
    assert difference(torch.tensor([2e-6, 1.0]), small) is None
    assert difference(torch.tensor([2e-6, 1.0]), small, atol=1e-8) is not None
