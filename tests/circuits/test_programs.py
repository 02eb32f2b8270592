"""Programs against loops, and against circuits that were written."""

from __future__ import annotations

import pytest
import torch

from labs_src import models
from labs_src.circuits import bases, features, folding, programs
from labs_src.circuits.programs import Program


def some(seed=0, n=12):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, generator=g), torch.randn(n, n, generator=g) / 3


@pytest.mark.parametrize(
    ("triplet", "strength", "expected"),
    [
        ((1, 1, 1), 0.5, "reinforce"),
        ((1, 1, 2), 0.5, "shift"),
        ((1, 2, 2), 0.5, "cross-copy"),
        ((1, 2, 1), 0.5, "relay"),
        ((1, 2, 3), 0.5, "transform"),
        ((1, 1, 1), -0.5, "suppress"),
        ((1, 2, 3), -0.5, "suppress"),
    ],
)
def test_kinds(triplet, strength, expected):
    assert programs.kind(*triplet, strength) == expected


def test_programs_are_what_a_loop_finds():
    B, W2F = some()
    cells = sorted(((float(B[i, j]), i, j) for i in range(12) for j in range(12)), reverse=True)[:6]  # .2 of 30
    keys = {j for _, _, j in cells}
    entries = sorted(((abs(float(W2F[j, k])), j, k) for j in keys for k in range(12)), reverse=True)[:9]  # .3 of 30
    expected = set()
    for _route, i, j in cells:
        mine = [(j_, k) for _, j_, k in entries if j_ == j][:2]
        expected |= {(i, j, k, False) for _, k in mine} or {(i, j, j, True)}
    found = programs.programs(B, W2F, candidates=30, route_share=0.2, write_share=0.3, most=2)
    assert {(p.query, p.key, p.write, p.fallback) for p in found} == expected
    for p in found:
        assert p.score == pytest.approx(float(B[p.query, p.key]) * abs(float(W2F[p.key, p.write])))
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def test_fallbacks_are_counted_and_left_out():
    B = torch.zeros(4, 4)
    B[0, 1], B[2, 3] = 9.0, 8.0
    W2F = torch.zeros(4, 4)
    W2F[1, 2], W2F[3, 3] = 0.9, 0.2
    found = programs.programs(B, W2F, candidates=5, route_share=0.4, write_share=0.2)
    assert [(p.query, p.key, p.write, p.fallback) for p in found] == [(0, 1, 2, False), (2, 3, 3, True)]
    assert programs.fallback_fraction(found) == 0.5
    assert programs.histogram(found)["cross-copy"] == 0
    assert programs.histogram(found, trusted=False)["cross-copy"] == 1
    assert programs.histogram(found)["transform"] == 1


def test_negative_routes_are_none():
    assert programs.programs(-torch.ones(3, 3), torch.eye(3)) == []
    assert programs.fallback_fraction([]) == 0


def test_sets_count_different_queries_and_writes_without_fallbacks():
    many = [Program(i, 7, 8, 1.0, 0.5) for i in range(3)] + [Program(0, 9, k, 1.0, 0.5) for k in (1, 2)]
    assert programs.sets(many) == {"aggregate": [(7, 8)], "broadcast": []}
    assert programs.sets([*many, Program(0, 9, 4, 1.0, -0.5)])["broadcast"] == [(0, 9)]
    assert programs.sets([*many[:2], Program(5, 7, 8, 1.0, 0.5, fallback=True)]) == {"aggregate": [], "broadcast": []}


def test_mutual_routing_and_exclusion_zones_are_what_loops_find():
    B, _ = some(1)
    pairs = sorted(
        ((min(float(B[i, j]), float(B[j, i])), i, j) for i in range(12) for j in range(i + 1, 12)), reverse=True
    )
    expected = [(i, j) for value, i, j in pairs[:8] if value > 0]
    assert [(i, j) for i, j, _ in programs.mutual_routing(B, 8)] == expected
    lowest = sorted((float(B[i, j]), i, j) for i in range(12) for j in range(12))[:5]
    assert [(i, j) for i, j, _ in programs.exclusion_zones(B, 5)] == [(i, j) for _, i, j in lowest]
    assert programs.exclusion_zones(B.abs(), 5) == [] and programs.mutual_routing(-B.abs(), 5) == []


def test_write_collisions_know_the_sign():
    a, b, c = torch.zeros(5, 5), torch.zeros(5, 5), torch.zeros(5, 5)
    a[0, 1], a[0, 2] = 0.9, 0.8
    b[3, 1], b[3, 2] = 0.7, -0.9
    c[2, 3], c[2, 4] = 1.0, 1.0
    found = {(x.first, x.second): (x.shared, x.opposed) for x in programs.write_collisions({0: a, 1: b, 2: c}, n=2)}
    assert found == {(0, 1): (2, 1), (0, 2): (0, 0), (1, 2): (0, 0)}


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="square"):
        programs.programs(torch.zeros(3, 4), torch.zeros(3, 4))


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (0, 2), (1, 2)])
def test_planted_circuits_become_programs(layer, head):
    """Every written "A attends to B, then writes C" without a distance is found, with its sign. No cosines here: rows
    that write nothing are rounding error and noise."""
    loaded = models.load("planted-orthonormal")
    key = [c for c in loaded.card["answer_key"]["circuits"] if (c["layer"], c["head"]) == (layer, head)]
    names = loaded.card["features"]
    wanted = {
        (names.index(c["query"]), names.index(c["key"]), names.index(c["writes"]), c["sign"])
        for c in key
        if c["kind"] == "attend" and "distance" not in c
    }
    assert any(sign < 0 for *_, sign in wanted)
    rows = bases.from_dictionary(loaded.dictionaries[bases.entering(layer)])
    folded = folding.fold(loaded.model, layer)
    B = features.affinity(folded, head, rows, cap=False)
    W2F = features.writes(folded, head, rows, cosine=False)
    found = programs.programs(B, W2F, candidates=100, route_share=0.12, write_share=0.06)
    explicit = {(p.query, p.key, p.write, 1 if p.strength > 0 else -1) for p in found if not p.fallback}
    assert wanted <= explicit
    assert {p.kind for p in found if p.strength < 0} == {"suppress"}
