"""The share of circuits that act, counted in two ways."""

from __future__ import annotations

import pytest

from labs_src.circuits import planted_scores
from labs_src.models import planted


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.8, 1), (1.0, 2)])
def test_acting_alone_is_that_of_the_whole_behaviour(noise, seed):
    directions = planted.orthonormal(seed=0)
    made = planted.build(planted.standard(directions, 0), directions, noise=noise, seed=seed)
    assert planted_scores.acting(made, n=2) == planted_scores.of_behaviour(made, n=2).acting
