"""Decomposition, agreement, attribution and necessity, on a dictionary that is exact."""

from __future__ import annotations

import pytest
import torch
from tiny_gated import D, Tiny

from labs_src.dictionaries.gemma_scope import Dictionary
from labs_src.patchscopes import decomposing

HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture
def dictionary():
    """Plus and minus each axis: exact, with one of each pair active."""
    W = torch.cat([torch.eye(D), -torch.eye(D)])
    return Dictionary(W.T.contiguous(), torch.zeros(2 * D), torch.zeros(2 * D), W, torch.zeros(D), HOOK)


@pytest.fixture
def case():
    model, ids = Tiny(), torch.randint(0, 11, (4, 5), generator=torch.Generator().manual_seed(3))
    return (
        model,
        ids,
        model.run_with_cache(ids, HOOK)[1][HOOK],
        torch.tensor([4, 2, 3, 1]),
        [(1, 0), (1, 3), (1, 3), (1, 2)],
    )


def test_top_latents_and_agreement():
    z = torch.tensor([[0.0, 2.0, 1.0], [0.0, 3.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert decomposing.top_latents(z, 2).tolist() == [[1, 2], [1, -1], [0, -1], [-1, -1]]
    assert decomposing.top_agreement(z) == pytest.approx(2 / 12)  # one pair of six, in both orders
    assert decomposing.top_agreement(z[:2]) == 1 and decomposing.top_agreement(torch.zeros(3, 4)) == 0


def test_gradients_by_finite_differences(case):
    model, ids, x, at, targets = case
    gradient = decomposing.target_gradients(model, HOOK, ids, x, at, targets)
    for text, pos, d in ((0, 4, 2), (0, 1, 0), (2, 3, 5), (3, 4, 1)):
        step = torch.zeros_like(x)
        step[text, pos, d] = 1e-2
        up, down = (decomposing.targets_with(model, HOOK, ids, x + s * step, at, targets)[text] for s in (1, -1))
        torch.testing.assert_close((up - down) / 2e-2, gradient[text, pos, d], atol=2e-3, rtol=2e-2)
    assert (gradient[3, 2:] == 0).all()  # what comes after the place cannot matter


def test_drop_is_a_run_without_the_latents(case, dictionary):
    model, ids, x, at, targets = case
    rows = torch.arange(4)
    top = decomposing.top_latents(dictionary.encode(x[rows, at]), 2).tolist()
    before, after = decomposing.drops(model, dictionary, ids, x, at, targets, top)
    torch.testing.assert_close(before, decomposing.targets_with(model, HOOK, ids, x, at, targets))
    by_hand = x.clone()
    for i, (pos, latents) in enumerate(zip(at.tolist(), top, strict=True)):
        for latent in latents:
            by_hand[i, pos, latent % D] = 0
    torch.testing.assert_close(after, decomposing.targets_with(model, HOOK, ids, by_hand, at, targets))
    silent = [(dictionary.encode(x[i, t]) == 0).nonzero()[:2, 0].tolist() for i, t in enumerate(at.tolist())]
    same = decomposing.drops(model, dictionary, ids, x, at, targets, silent)
    torch.testing.assert_close(*same)  # control: latents that were off


def test_attribution_adds_up_to_the_slope(dictionary):
    x, gradient = torch.randn(3, D), torch.randn(3, D)
    given = decomposing.attribution(dictionary.encode(x), dictionary.W_dec, gradient)
    torch.testing.assert_close(given.sum(-1), (x * gradient).sum(-1))
