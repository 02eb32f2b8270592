"""Contrastive decoding and interventions while text is made."""

from __future__ import annotations

import torch
from tiny_gated import D, Tiny

from labs_src.dictionaries.gemma_scope import Dictionary
from labs_src.patchscopes import decoding, intervening
from labs_src.patchscopes.search import Site


def test_contrast_is_the_posts_formula():
    a, b = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(decoding.contrast(a, b, 1.5), 2.5 * a - 1.5 * b)
    assert torch.equal(decoding.contrast(a, b, 0.0), a)


def test_contrastive_by_a_loop_over_rows_and_tokens():
    site = Site(Tiny(), torch.tensor([[2, 5, 7]]), at=1, inject=1)
    signal, noise = torch.randn(3, D, generator=torch.Generator().manual_seed(0)) * 3, torch.zeros(D)
    alphas = torch.tensor([0.0, 1.5, 3.0])
    got = decoding.contrastive(site, signal, noise, alphas, n_tokens=4)
    for row, alpha in enumerate(alphas.tolist()):
        ids = site.ids[0].tolist()
        for _ in range(4):
            runs = []
            for v in (signal[row], noise):

                def put(value, hook, v=v):
                    value = value.clone()
                    value[0, 1] = v
                    return value

                runs.append(site.model.run_with_hooks(torch.tensor([ids]), [("blocks.1.hook_resid_pre", put)])[0, -1])
            ids.append(int((runs[0] + alpha * (runs[0] - runs[1])).argmax()))
        assert got[row].tolist() == ids[3:]
    assert len({tuple(r) for r in got.tolist()}) > 1


def test_held_latent_changes_that_latent_only_and_not_the_first_token():
    W = torch.eye(D)
    dictionary = Dictionary(W, torch.zeros(D), torch.zeros(D), W, torch.zeros(D), "blocks.1.hook_resid_pre")
    name, hold = intervening.held_latent(dictionary, 2, 1.5)
    x = torch.randn(2, 4, D).abs()
    new = hold(x, None)
    assert name == dictionary.hook and torch.equal(new[:, 0], x[:, 0])
    torch.testing.assert_close(new[:, 1:, 2], torch.full((2, 3), 1.5))
    others = [d for d in range(D) if d != 2]
    torch.testing.assert_close(new[..., others], x[..., others])


def test_generation_holds_the_hooks_at_every_step():
    model, ids = Tiny(), torch.tensor([[2, 4, 1], [2, 3, 3]])
    free = intervening.generate(model, ids, 5)
    assert free.shape == (2, 5)
    held = [intervening.held_neuron(1, 3, 40.0)]
    forced = intervening.generate(model, ids, 5, held)
    by_hand = ids
    for _ in range(5):
        by_hand = torch.cat([by_hand, model.run_with_hooks(by_hand, held)[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(forced, by_hand[:, 3:]) and not torch.equal(forced, free)
    nothing = intervening.generate(model, ids, 5, [intervening.pushed("blocks.1.hook_resid_pre", torch.zeros(D))])
    assert torch.equal(nothing, free)


def test_neuron_activations_in_chunks():
    model, ids = Tiny(), torch.randint(0, 11, (5, 3), generator=torch.Generator().manual_seed(0))
    whole = intervening.neuron_activations(model, ids, 1)
    torch.testing.assert_close(whole, intervening.neuron_activations(model, ids, 1, chunk=2))
    off = intervening.neuron_activations(model, ids, 1, [intervening.held_neuron(1, 2, 0.0)])
    assert (off[:, 1:, 2] == 0).all() and torch.equal(off[:, 0], whole[:, 0])
