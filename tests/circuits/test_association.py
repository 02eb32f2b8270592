"""Rank correlations with depth taken out."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from labs_src.circuits import association


def test_without_groups_it_is_spearman():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, generator=g), torch.randn(20, generator=g)
    assert association.rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_what_only_depth_makes_goes_away_within_layers():
    g = torch.Generator().manual_seed(0)
    layers = torch.arange(6).repeat_interleave(8)
    x, y = (layers + 0.5 * torch.randn(48, generator=g) for _ in range(2))
    assert association.rank_correlation(x, y) > 0.8
    assert abs(association.rank_correlation(x, y, layers)) < 0.4
    assert association.associate(x, y).clear
    assert not association.associate(x, y, layers).clear


def test_what_holds_within_layers_stays():
    g = torch.Generator().manual_seed(1)
    layers = torch.arange(6).repeat_interleave(4)
    z = torch.randn(24, generator=g)
    x, y = 10 * layers + z, -10 * layers + z  # opposite depth trends hide it
    assert association.rank_correlation(x, y) < -0.5
    assert association.rank_correlation(x, y, layers) > 0.9


def test_constant_sides_and_different_lengths_are_refused():
    layers = torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="constant"):
        association.rank_correlation(torch.ones(4), torch.arange(4.0))
    with pytest.raises(ValueError, match="constant"):
        association.rank_correlation(layers.float(), torch.arange(4.0), layers)
    with pytest.raises(ValueError, match="per head"):
        association.rank_correlation(torch.ones(4), torch.arange(5.0))


def test_beyond_takes_a_third_order_out():
    g = torch.Generator().manual_seed(0)
    given, own = torch.arange(60.0), torch.randn(60, generator=g)
    x, y = given + 12 * own, given + 12 * torch.randn(60, generator=g)
    assert association.rank_correlation(x, y) > 0.5
    assert abs(association.beyond(x, y, given)) < 0.3  # they share nothing but the third
    assert association.beyond(x, 0.1 * given + own, given) > 0.9  # these share more
    assert association.beyond(x, -own, given) == pytest.approx(-association.beyond(x, own, given))
    with pytest.raises(ValueError, match="nothing is left"):
        association.beyond(x, given**3, given)
