"""Necessity: places, attributions and losses, against one place at a time."""

from __future__ import annotations

import pytest
import torch
from tiny_gated import D, Tiny

from labs_src.dictionaries.gemma_scope import Dictionary
from labs_src.patchscopes import decomposing, validating

HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture
def dictionary():
    W = torch.cat([torch.eye(D), -torch.eye(D)])
    return Dictionary(W.T.contiguous(), torch.zeros(2 * D), torch.zeros(2 * D), W, torch.zeros(D), HOOK)


def test_places_are_strong_early_and_in_the_texts_asked_for():
    post = torch.zeros(4, 9)
    post[0, [0, 2, 8]] = post[1, [3, 4]] = post[2, 5] = post[3, 1] = 2.0
    use = torch.tensor([True, False, True, True])
    assert validating.strong_places(post, 1.0, use, 9, before=8).tolist() == [[0, 2], [2, 5], [3, 1]]
    assert validating.strong_places(post, 1.0, use, 2, before=8).tolist() == [[0, 2], [3, 1]]
    assert len(validating.strong_places(post, 5.0, use, 2)) == 0


def test_attributions_and_losses_by_a_loop(dictionary):
    model = Tiny()
    ids = torch.randint(0, 11, (5, 6), generator=torch.Generator().manual_seed(0))
    x = model.run_with_cache(ids, HOOK)[1][HOOK]
    targets, places = [(1, 2), (1, 4)], [torch.tensor([[0, 2], [3, 5]]), torch.tensor([[1, 4]])]
    given, mean, share = validating.attributions(model, dictionary, ids, x, places, targets)
    latents = [[0, D], [3]]
    lost = validating.lost(model, dictionary, ids, x, places, targets, latents)
    for i, (target, where) in enumerate(zip(targets, places)):
        z = torch.stack([dictionary.encode(x[s, t]) for s, t in where])
        torch.testing.assert_close(mean[i], z.mean(0))
        torch.testing.assert_close(share[i], (z > 0).float().mean(0))
        drops, slopes = [], []
        for s, t in where.tolist():
            one = (ids[s : s + 1], x[s : s + 1], torch.tensor([t]), [target])
            before, after = decomposing.drops(model, dictionary, *one, [latents[i]])
            drops.append((before - after) / before)
            slopes.append(decomposing.target_gradients(model, HOOK, *one)[0, t])
        torch.testing.assert_close(lost[i], torch.cat(drops).mean(), rtol=1e-4, atol=1e-5)
        expected = torch.stack([decomposing.attribution(a, dictionary.W_dec, b) for a, b in zip(z, slopes)]).mean(0)
        torch.testing.assert_close(given[i], expected, rtol=1e-4, atol=1e-5)


def test_a_target_without_places_gets_a_message(dictionary):
    with pytest.raises(ValueError, match="target 1 has no place"):
        validating._joined([torch.tensor([[0, 1]]), torch.zeros(0, 2, dtype=torch.long)])
