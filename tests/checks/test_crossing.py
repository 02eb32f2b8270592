"""Values survive the crossing to another process, and nothing else crosses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labs_src.checks.contract import identical
from labs_src.checks.crossing import pack, unpack

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
trees = st.recursive(
    leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=5), t, max_size=3), max_leaves=8
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5), trees, max_size=4))
def test_plain_values_come_back(values):
    assert identical(unpack(pack(values)), values)


def test_tensors_come_back_with_type_and_shape():
    shared = torch.arange(6.0).reshape(2, 3)
    values = {"x": shared.T, "again": shared, "mask": shared > 2, "nested": {"list": [shared.long(), (1.5, "a")]}}
    assert identical(unpack(pack(values)), values)


def test_what_cannot_be_judged_is_named():
    with pytest.raises(TypeError, match=r"result\.model is a Linear"):
        pack({"result": {"model": torch.nn.Linear(2, 2)}})


def test_rubbish_is_refused():
    with pytest.raises(ValueError, match="not a file of named values"):
        unpack(b"rubbish")


def test_an_object_whose_pickling_runs_code_does_not_cross():
    class Trap:
        def __reduce__(self):
            raise AssertionError("pickle was used")

    with pytest.raises(TypeError, match="Trap"):
        pack({"x": Trap()})
