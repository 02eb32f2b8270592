"""Top and bottom pairs against sorting the whole table, on tables that are tied, constant or heavy-tailed too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labs_src.circuits import tables


def sorted_whole(table: torch.Tensor, k: int, largest: bool, cross: bool = False):
    """(value, row, column) of the whole table by value, then row, then column: python's sort, no tensors."""
    entries = [
        (float(v), i, j) for i, row in enumerate(table.tolist()) for j, v in enumerate(row) if not (cross and i == j)
    ]
    return sorted(entries, key=lambda e: (-e[0] if largest else e[0], e[1], e[2]))[:k]


def listed(pairs: tables.Pairs):
    return list(zip(pairs.value.tolist(), pairs.left.tolist(), pairs.right.tolist(), strict=True))


KINDS = ("tied", "constant", "heavy", "one hot", "rising", "falling", "normal")


def factors(kind: str, rows: int, columns: int, d: int, seed: int, dtype=torch.float32):
    """Whole numbers wherever values must be equal exactly, in any order of summation and in bfloat16."""
    g = torch.Generator().manual_seed(seed)
    left = torch.randint(-2, 3, (rows, d), generator=g).float()
    right = torch.randint(-2, 3, (columns, d), generator=g).float()
    if kind == "constant":
        left, right = torch.ones(rows, d), torch.ones(columns, d)
    elif kind == "one hot":
        left, right = torch.zeros(rows, d), torch.zeros(columns, d)
        left[-1, 0] = right[-1, 0] = 3.0
    elif kind == "heavy":
        left *= 2.0 ** torch.randint(0, 10, (rows, 1), generator=g)
        right *= 2.0 ** torch.randint(0, 10, (columns, 1), generator=g)
    elif kind in ("rising", "falling"):
        left, right = torch.zeros(rows, d), torch.ones(columns, d)
        left[:, 0] = torch.arange(rows) if kind == "rising" else rows - torch.arange(rows)
    elif kind == "normal":
        left, right = torch.randn(rows, d, generator=g), torch.randn(columns, d, generator=g)
    return left.to(dtype), right.to(dtype)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS[:-1]),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    d=st.integers(1, 5),
    block=st.integers(1, 45),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
    cross=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    many=st.sampled_from([4, 1 << 14]),
)
def test_equals_sorting_the_whole_table(kind, rows, columns, d, block, share, seed, cross, dtype, many):
    left, right = factors(kind, rows, columns, d, seed, dtype)
    size = rows * columns - (min(rows, columns) if cross else 0)
    if not size:
        return
    k = 1 + round(share * (size - 1))
    whole = left @ right.T
    old, tables.MANY = tables.MANY, many  # the way out for very many candidates, on small tables too
    try:
        top, bottom = tables.strongest(left, right, k, cross=cross, block=block)
    finally:
        tables.MANY = old
    assert listed(top) == sorted_whole(whole, k, True, cross)
    assert listed(bottom) == sorted_whole(whole, k, False, cross)


@pytest.mark.parametrize("tail", ["normal", "cauchy"])
def test_random_tables(tail):
    g = torch.Generator().manual_seed(3)
    left, right = torch.randn(700, 24, generator=g), torch.randn(500, 24, generator=g)
    if tail == "cauchy":
        left = left / torch.randn(700, 1, generator=g).abs()
    top, bottom = tables.strongest(left, right, 64, block=128)
    whole = left.double() @ right.double().T
    for pairs, sign in ((top, 1), (bottom, -1)):
        best = (sign * whole).flatten().topk(64).values
        torch.testing.assert_close(sign * pairs.value.double(), best, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(whole[pairs.left, pairs.right], sign * best, rtol=1e-5, atol=1e-5)
        assert len(set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))) == 64


def test_the_choice_of_blocks_does_not_matter_for_tied_values():
    left, right = factors("tied", 90, 70, 3, 5)
    ways = [[listed(p) for p in tables.strongest(left, right, 50, block=b)] for b in (1, 7, 64, 90)]
    assert all(way == ways[0] for way in ways)


def test_the_factors_stay_as_they_were():
    left, right = factors("normal", 30, 20, 4, 1)
    kept = left.clone(), right.clone()
    tables.strongest(left, right, 5, cross=True)
    assert torch.equal(left, kept[0]) and torch.equal(right, kept[1])


def test_by_size_merges_both_ends():
    left, right = factors("normal", 30, 20, 4, 1)
    merged = tables.by_size(*tables.strongest(left, right, 12), 12)
    assert [(i, j) for _, i, j in listed(merged)] == [
        divmod(int(i), 20) for i in (left @ right.T).flatten().abs().sort(descending=True, stable=True).indices[:12]
    ]
    everything = tables.by_size(*tables.strongest(left, right, 600))
    assert len(everything) == 600  # each entry once though it is at both ends


def test_moments_are_those_of_the_whole_table():
    left, right = factors("normal", 300, 200, 6, 2)
    mean, std = tables.moments(left, right + 1)
    whole = left.double() @ (right.double() + 1).T
    assert mean == pytest.approx(float(whole.mean()), rel=1e-6)
    assert std == pytest.approx(float(whole.std(correction=0)), rel=1e-6)
    assert tables.moments(torch.ones(5, 3), torch.ones(4, 3)) == (pytest.approx(3.0), 0.0)


@pytest.mark.parametrize(
    ("left", "right", "k", "message"),
    [
        (torch.ones(3, 2), torch.ones(3, 4), 1, "with one d"),
        (torch.ones(3, 2), torch.ones(3, 2).bfloat16(), 1, "one floating dtype"),
        (torch.ones(3, 2), torch.ones(3, 2), 10, "between 1 and 9"),
        (torch.ones(3, 2), torch.ones(3, 2), 0, "between 1 and 9"),
        (torch.full((3, 2), torch.nan), torch.ones(3, 2), 1, "left holds numbers that are not finite"),
        (torch.full((3, 2), 1e38), torch.full((3, 2), 1e38), 1, "overflows"),
    ],
)
def test_a_bad_input_gets_one_message(left, right, k, message):
    with pytest.raises(ValueError, match=message):
        tables.strongest(left, right, k)


def test_cross_leaves_out_the_diagonal_of_the_count_too():
    with pytest.raises(ValueError, match="between 1 and 6"):
        tables.strongest(torch.ones(3, 2), torch.ones(3, 2), 7, cross=True)
