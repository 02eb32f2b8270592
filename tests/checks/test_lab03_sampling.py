"""A sampler is judged by chance, so a right one must pass whatever it draws."""

from __future__ import annotations

import numpy as np
import torch

from labs_src.checks.lab03_sampling import INDEPENDENT, MAGNITUDES, PROBABILITY, sampling_inputs


def draws(inputs: dict, seed: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shape = (inputs["batch"], len(inputs["probability"]), inputs["n_features"])
    return [
        (torch.rand(shape, generator=g) < inputs["probability"][None, :, None]) * torch.rand(shape, generator=g)
        for _ in range(2)
    ]


def test_right_samples_pass_on_many_seeds():
    for seed in range(60):
        inputs = sampling_inputs(np.random.default_rng(seed))
        value = draws(inputs, seed)
        assert [judge(inputs, value) for judge in (PROBABILITY, MAGNITUDES, INDEPENDENT)] == [None] * 3


def test_a_magnitude_that_is_exactly_zero_is_no_mistake():
    inputs = sampling_inputs(np.random.default_rng(0))
    always = int((inputs["probability"] == 1).nonzero())
    first, second = draws(inputs, 0)
    first[:2, always, 0] = 0
    assert PROBABILITY(inputs, [first, second]) is None
    first[:3, always, 0] = 0
    assert f"in instance {always} features are on in a fraction" in PROBABILITY(inputs, [first, second])
