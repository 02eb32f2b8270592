"""Ours beside published numbers: the nearest way is named, for made-up numbers of every kind on a mini model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labs_src.circuits import prediction, published
from labs_src.circuits.prediction import RIGHT
from labs_src.models import tiers


def test_the_published_table():
    table = published.errata()
    assert list(table) == ["layer", *published.COLUMNS] and len(table) == 26
    means = table.mean()
    assert means.pre_fix == pytest.approx(0.011, abs=1e-3) and means.fixed_sae == pytest.approx(0.229, abs=1e-3)
    assert means.fixed_token == pytest.approx(0.260, abs=1e-3) and (table.fixed_token > table.fixed_sae).sum() == 15


@pytest.fixture(scope="module")
def ours():
    tier = tiers.of("mini")
    loaded = tier.load()
    seen = prediction.look(loaded.model, tier.text(loaded, 2))
    bugs = {name: value for change in prediction.BUGS.values() for name, value in change.items()}
    method = prediction.errata_method(tier.width)
    variants = {"three bugs": method.but(**bugs), "errata": method, "everything right": RIGHT}
    rows = prediction.by_layer(loaded.model, seen, tier.bases(loaded), variants)
    return {v: [row["rho"] for row in rows if row["variant"] == v] for v in variants}


@pytest.mark.parametrize("truth", ["three bugs", "errata", "everything right"])
def test_names_the_convention_behind_made_up_numbers(ours, truth):
    """As if somebody had published numbers of this model, made with one convention and a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.01, 6)
    theirs = pd.DataFrame({"layer": range(6), "pre_fix": np.array(ours[truth]) + noise})
    table = published.distances(ours, theirs)
    assert table.ours.iloc[0] == truth and table.mean_abs_difference.iloc[0] < 0.02
    assert f"nearest is ours with {truth!r}" in published.verdict(ours, theirs)


def test_missing_layers_are_left_out(ours):
    theirs = pd.DataFrame({"layer": range(6), "pre_fix": [float("nan"), *ours["errata"][1:]]})
    assert published.distances(ours, theirs).iloc[0].mean_abs_difference == pytest.approx(0)


def test_another_model_is_not_compared(ours):
    assert published.distances(ours, published.errata()).empty
    assert "26 layers and this one 6" in published.verdict(ours, published.errata())
