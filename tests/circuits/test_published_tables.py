"""The published tables are read as printed; made-up ones of either fold are told apart on the mini model."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from labs_src import models
from labs_src.circuits import bases, findings, published_tables, tables
from labs_src.circuits.published_tables import SIDES, of_frame


@pytest.fixture(scope="module")
def mini():
    return models.load("mini-gemma")


def made_up(loaded, gain: str, n: int = 31):
    """Lists as the post prints them, of mini-gemma's layer 3, made with one fold and rounded as there."""
    layer, found = 3, {}
    before = loaded.dictionaries[bases.entering(layer)].W_dec
    after = loaded.dictionaries[bases.leaving(layer)].W_enc.T
    for kind, head, cross in (("qk", 0, False), ("qk", 1, True), ("ov", 1, False)):
        name = f"{kind}_layer{layer}_head{head}_{'cross_positive' if cross else 'top'}"
        empty = of_frame(name, pd.DataFrame({"value": [0.0], SIDES[kind][0]: [0], SIDES[kind][1]: [0]}))
        left, right = published_tables.ours(loaded.model, empty, gain, before, after)
        top, bottom = tables.strongest(left, right, n, cross=cross)
        pairs = top if cross else tables.by_size(top, bottom, n)
        value = [float(f"{v:.4g}") for v in pairs.value.tolist()]
        frame = pd.DataFrame({"value": value, SIDES[kind][0]: pairs.left, SIDES[kind][1]: pairs.right})
        found[name] = of_frame(name, frame)
    return found


@pytest.mark.parametrize("gain", ["1+gamma", "gamma", "none"])
def test_the_fold_that_made_them_is_found(mini, gain):
    table = published_tables.of_model(mini, made_up(mini, gain))
    right = table[table.fold == gain]
    assert (right.error < 1e-3).all() and (right.overlap > 0.9).all() and (right["scale"].sub(1).abs() < 1e-3).all()
    assert table[table.fold != gain].error.min() > 0.05
    assert published_tables.verdict(table).endswith(f"The published numbers are those of fold {gain!r}.")


def test_numbers_of_neither_are_not_claimed(mini):
    given = made_up(mini, "gamma")
    for one in given.values():
        one.pairs.value.mul_(torch.linspace(0.5, 2, len(one.pairs)))
    assert "None reproduces them" in published_tables.verdict(published_tables.of_model(mini, given))


def test_another_model_has_nothing_to_compare(mini):
    table = published_tables.of_model(mini)
    assert table.empty and "nothing to compare" in published_tables.verdict(table)


def test_the_published_lists_are_whole():
    given = published_tables.load_all()
    assert len(given) == 6 and all(one.layer == 13 for one in given.values())
    first = given["qk_layer13_head0_top"].pairs
    assert len(first) == 31 and float(first.value[0]) == pytest.approx(-0.1015)
    assert (int(first.left[0]), int(first.right[0])) == (8517, 3744)  # the query is 8517, as the post's text says
    tetrads = findings.tetrads(given["qk_layer13_head7_top"].pairs)
    assert (6163, 6412) in tetrads and (4814, 9009) in tetrads  # rows 8-11 and 26-29, which the post names
    assert not len(findings.like_to_like(given["qk_layer13_head7_cross_positive"].pairs))
    assert float(given["qk_layer13_head0_cross_positive"].pairs.value.min()) > 0


def test_a_bad_list_gets_one_message():
    with pytest.raises(ValueError, match="is not like"):
        of_frame("layer13", pd.DataFrame())
    with pytest.raises(ValueError, match="no column key_feature"):
        of_frame("qk_layer1_head0_top", pd.DataFrame({"value": [1.0], "query_feature": [1]}))
