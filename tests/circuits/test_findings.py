"""Findings from lists of entries: on small cases by hand, on planted models against their answer keys, and nulls."""

from __future__ import annotations

import itertools

import pytest
import torch

from labs_src import models
from labs_src.circuits import bases, findings, folding, head_tables, planted_scores, tables
from labs_src.circuits.tables import Pairs


def pairs(*entries: tuple[float, int, int]) -> Pairs:
    value, left, right = zip(*entries, strict=True)
    return Pairs(torch.tensor(value), torch.tensor(left), torch.tensor(right))


@pytest.fixture(scope="module", params=["planted-orthonormal", "planted-packed"])
def planted(request):
    loaded = models.load(request.param)
    return loaded, loaded.dictionaries["blocks.0.hook_resid_pre"]


def test_like_to_like_and_cross_share_the_list_between_them():
    given = pairs((3.0, 1, 1), (2.0, 1, 2), (-2.0, 4, 4), (1.0, 0, 1))
    assert findings.like_to_like(given).left.tolist() == [1, 4]
    assert findings.cross(given).right.tolist() == [2, 1]


TETRAD = [(2.0, 5, 5), (-1.9, 5, 3), (-1.8, 3, 5), (1.7, 3, 3)]


def test_tetrads_in_any_order_among_others():
    for entries in itertools.permutations(TETRAD):
        assert findings.tetrads(pairs((9.0, 1, 1), *entries, (-1.0, 1, 5))) == [(3, 5)]
    assert findings.tetrads(pairs((1.0, 2, 2), *TETRAD, (-1.0, 2, 5), (-1.0, 5, 2))) == [(2, 5), (3, 5)]


@pytest.mark.parametrize("which", range(4))
def test_a_tetrad_needs_all_four_and_their_signs(which):
    missing = [e for n, e in enumerate(TETRAD) if n != which]
    assert findings.tetrads(pairs(*missing)) == []
    value, i, j = TETRAD[which]
    assert findings.tetrads(pairs(*missing, (-value, i, j))) == []


def test_duplicates_are_chains_of_cosines():
    angle = torch.tensor([0.0, 40.0, 80.0, 200.0, 200.0]).deg2rad()
    rows = torch.stack([angle.cos(), angle.sin()], 1) * torch.tensor([[1.0], [5.0], [0.1], [2.0], [2.0]])
    assert findings.duplicates(rows).tolist() == [0, 0, 0, 1, 1]  # 0 and 80 degrees only through 40
    assert findings.duplicates(rows, cosine=0.99, block=2).tolist() == [0, 1, 2, 3, 3]


def test_merged_keeps_the_strongest_of_each_pair_of_groups():
    given = pairs((5.0, 0, 2), (-4.0, 1, 2), (3.0, 2, 0), (2.0, 1, 1))
    found = findings.merged(given, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert found.value.tolist() == [5.0, 3.0]
    assert (found.left.tolist(), found.right.tolist()) == ([0, 1], [1, 0])


def test_collapsed_is_merged_for_a_whole_table():
    table = torch.tensor([[1.0, -5.0, 2.0], [4.0, 3.0, -1.0], [0.5, -0.25, -6.0]])
    found = findings.collapsed(table, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert found.tolist() == [[4.0, -5.0], [0.5, -6.0]]
    entries = tables.by_size(*tables.strongest(table, torch.eye(3), 9))
    for value, i, j in zip(*vars(findings.merged(entries, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))).values()):
        assert found[i, j] == value


def test_score_by_counting():
    table = torch.tensor([[9.0, 0.5, -7.0], [8.0, 6.0, 0.1], [0.2, -5.0, 0.3]])
    exact = findings.score(table, {(0, 0): 1.0, (1, 0): 1.0})
    assert (exact.recall, exact.precision, exact.margin) == (1.0, 1.0, pytest.approx(8 / 7))
    beaten = findings.score(table, {(0, 0): 1.0, (1, 1): 1.0})  # 8 and |-7| lie above 6
    assert (beaten.recall, beaten.precision) == (0.5, 0.5)
    assert beaten.margin == pytest.approx(6 / 8)
    wrong_sign = findings.score(table, {(0, 0): 1.0, (0, 2): 1.0})  # planted positive, found negative
    assert wrong_sign.recall == 0.5 and wrong_sign.precision == pytest.approx(2 / 9)
    assert findings.score(table, {(0, 0): 1.0, (1, 1): 1.0}, ignored=[(1, 0), (0, 2)]).precision == 1.0
    with pytest.raises(ValueError, match="no answer key"):
        findings.score(table, {})


def test_planted_circuits_are_found_with_nothing_else(planted):
    loaded, dictionary = planted
    rows, key = dictionary.basis(), loaded.card["answer_key"]
    for kind in head_tables.KINDS:
        found = planted_scores.of_tables(loaded.model, key, kind, rows, dictionary.W_enc.T)
        assert (found.recall, found.precision, found.exact, found.confident_recall) == (1, 1, 1, 1)
        assert found.margin > 1.2


def test_planted_tetrads_are_found_in_lists_as_long_as_the_key():
    loaded = models.load("planted-orthonormal")
    rows = bases.from_dictionary(loaded.dictionaries["blocks.0.hook_resid_pre"])
    for layer in (0, 1):
        folded = folding.fold(loaded.model, layer)
        for head in range(4):
            key = loaded.card["answer_key"]["qk"]
            planted = findings.planted_entries(key, "qk", layer, head)
            table = head_tables.qk(folded, head, rows, max(1, len(planted)))
            wanted = findings.tetrads(pairs(*((v, i, j) for (i, j), v in planted.items()))) if planted else []
            assert findings.tetrads(table.by_size(len(planted) or 1)) == wanted


def test_a_circuit_with_a_distance_is_strongest_there():
    loaded = models.load("planted-orthonormal")
    rows, key = loaded.dictionaries["blocks.0.hook_resid_pre"].basis(), loaded.card["answer_key"]["qk"]
    entry = next(e for e in key if "distance" in e)
    folded = folding.fold(loaded.model, entry["layer"])
    at = {d: head_tables.qk_factors(folded, entry["head"], rows, d) for d in (0, entry["distance"])}
    value = {d: float((left @ right.T)[entry["query"], entry["key"]]) for d, (left, right) in at.items()}
    assert value[0] == pytest.approx(entry["strength"], rel=0.1)
    assert value[entry["distance"]] == pytest.approx(entry["strength_at_distance"], rel=0.1)
    planted = findings.planted_entries(key, "qk", entry["layer"], entry["head"], entry["distance"])
    assert planted[entry["query"], entry["key"]] == entry["strength_at_distance"]
    assert (entry["query"], entry["key"]) not in findings.planted_entries(key, "qk", entry["layer"], entry["head"], 2)


def random_heads(rows, n: int, seed: int):
    """Tables of heads with Gaussian weights."""
    g = torch.Generator().manual_seed(seed)
    for head in range(n):
        readers = torch.randn(2, rows.shape[1], 64, generator=g) / rows.shape[1] ** 0.5
        yield head_tables.table("qk", 0, head, rows @ readers[0] / 8, rows @ readers[1], 100)


def test_random_weights_yield_no_confident_finding(planted):
    _, dictionary = planted
    assert all(len(findings.confident(table)) == 0 for table in random_heads(dictionary.basis(), 30, 1))


def test_an_untrained_model_with_its_own_dictionary_yields_no_confident_finding():
    from labs_src.models.recipes import dictionaries, gemma

    model = gemma.new_model(dictionaries.UNTRAINED_SEED)
    trained_on_it = models.load("mini-gemma").dictionaries["blocks.2.hook_resid_post/random-model"]
    rows, folded = trained_on_it.basis(), folding.fold(model, 3)
    for head in range(folded.n_heads):
        for table in (
            head_tables.qk(folded, head, rows, 50),
            head_tables.ov(folded, head, rows, bases.unit_rms(trained_on_it.W_enc.T), 50),
        ):
            assert len(findings.confident(table)) == 0


def test_rounding_errors_are_no_findings():
    noise = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 1e-4
    noise[0] *= 30
    table = head_tables.table("qk", 0, 0, noise, noise, 100)
    assert float(table.z(table.top).max()) > findings.CONFIDENT
    assert len(findings.confident(table)) == 0
    assert len(findings.confident(head_tables.table("qk", 0, 0, noise * 100, noise * 100, 100))) > 0


def test_z_of_a_table_without_spread():
    table = head_tables.table("qk", 0, 0, torch.ones(5, 3), torch.ones(4, 3), 100)
    assert len(table.top) == 20  # all there are
    assert float(table.z(table.top).abs().max()) == 0


def test_tables_and_metrics_share_one_scale(planted):
    """The entries are those of ``features.affinity`` before the cap."""
    from labs_src.circuits import features

    loaded, dictionary = planted
    folded, rows = folding.fold(loaded.model, 1), dictionary.basis()
    table = head_tables.qk(folded, 2, rows, 10, distance=3)
    B = features.affinity(folded, 2, rows, distance=3, cap=False)
    torch.testing.assert_close(B[table.top.left, table.top.right], table.top.value, rtol=1e-4, atol=1e-3)
    assert (table.mean, table.std) == (
        pytest.approx(float(B.mean()), abs=1e-4),
        pytest.approx(float(B.std()), rel=1e-3),
    )
    out = dictionary.W_enc.T
    ov = head_tables.ov(folded, 2, rows, out, 10)
    W = features.writes(folded, 2, rows, out, cosine=False)
    torch.testing.assert_close(W[ov.bottom.left, ov.bottom.right], ov.bottom.value, rtol=1e-4, atol=1e-4)


def test_cross_tables_hold_no_feature_with_itself(planted):
    loaded, dictionary = planted
    folded = folding.fold(loaded.model, 0)
    table = head_tables.qk(folded, 1, dictionary.basis(), 40, cross=True)
    assert len(findings.like_to_like(table.by_size())) == 0
    whole = tables.strongest(*head_tables.qk_factors(folded, 1, dictionary.basis()), 80)[0]
    assert findings.cross(whole)[:40].left.tolist() == table.top.left.tolist()
