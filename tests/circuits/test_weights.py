"""Factored circuits against the multiplied ones, and against what the model computes."""

from __future__ import annotations

import pytest
import torch

from labs_src.circuits import composition, weights
from labs_src.circuits.weights import Factored
from labs_src.models.attention_only import AttentionOnly, Config

CFG = Config(n_layers=2, d_model=12, n_heads=3, d_head=5, n_ctx=9, d_vocab=17)


@pytest.fixture(scope="module")
def model():
    return AttentionOnly(CFG, seed=1).requires_grad_(False)


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(0)
    return [Factored(torch.randn(7, 3, generator=g), torch.randn(3, 7, generator=g)) for _ in range(2)]


def test_products_transposes_and_norms(pair):
    a, b = pair
    assert torch.allclose((a @ b).full, a.full @ b.full, atol=1e-5)
    assert torch.allclose(a.T.full, a.full.T)
    assert torch.allclose((a @ b).norm(), (a.full @ b.full).norm(), rtol=1e-5)


def test_eigenvalues_are_those_of_the_large_matrix(pair):
    small = pair[0].eigenvalues()
    large = torch.linalg.eigvals(pair[0].full.double())
    large = large[large.abs().argsort(descending=True)][:3]
    assert float(small.abs().sum()) == pytest.approx(float(large.abs().sum()), rel=1e-4)
    assert float(small.real.sum()) == pytest.approx(float(large.real.sum()), rel=1e-3, abs=1e-4)


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Factored(torch.ones(4, 3), torch.ones(2, 4))


def test_full_ov_is_the_logits_of_a_token_that_attends_to_itself(model):
    tokens = torch.arange(CFG.d_vocab)[:, None]  # one token each: attention is 1 on itself
    _, cache = model.run_with_cache(tokens)
    logits = cache["blocks.0.attn.hook_result"][:, 0, 2] @ model.W_U
    assert torch.allclose(weights.full_ov(model, 0, 2).full, logits, atol=1e-4)


def test_full_qk_is_the_token_part_of_the_scores(model):
    model = AttentionOnly(CFG, seed=1).requires_grad_(False)
    model.W_pos.zero_()
    tokens = torch.tensor([[3, 8, 1, 16]])
    _, cache = model.run_with_cache(tokens)
    scores = cache["blocks.0.attn.hook_attn_scores"][0, 1]
    circuit = weights.full_qk(model, 0, 1).full[tokens[0]][:, tokens[0]] / CFG.d_head**0.5
    past = torch.ones(4, 4, dtype=torch.bool).tril()
    assert torch.allclose(circuit[past], scores[past], atol=1e-4)


def test_k_composition_adds_over_heads_and_matches_the_seed(model):
    one, two = (weights.full_k_composition(model, h, 1).full for h in (0, 2))
    assert torch.allclose(weights.full_k_composition(model, [0, 2], 1).full, one + two, atol=1e-4)
    E = model.W_E.T  # the seed's columns
    W_OV = (model.W_V[0, 0] @ model.W_O[0, 0]).T
    seed_form = E.T @ (model.W_Q[1, 1] @ model.W_K[1, 1].T) @ W_OV @ E
    assert torch.allclose(one, seed_form, atol=1e-4)


def test_composition_scores(model):
    got = composition.scores(model, "K")[2, 0]
    A = model.W_V[0, 2] @ model.W_O[0, 2]
    B = (model.W_Q[1, 0] @ model.W_K[1, 0].T).T
    assert float(got) == pytest.approx(float((A @ B).norm() / A.norm() / B.norm()), rel=1e-5)
    assert composition.scores(model, "V").shape == (3, 3)
    with pytest.raises(ValueError, match="Q, K, V"):
        composition.scores(model, "k")


def test_an_untrained_model_scores_like_the_baseline(model):
    baseline = composition.random_baseline(CFG.d_model, CFG.d_head, draws=100)
    low, high = baseline.quantile(0.001), baseline.quantile(0.999)
    scores = torch.cat([composition.scores(model, kind).flatten() for kind in composition.KINDS])
    assert ((scores > 0.7 * low) & (scores < 1.4 * high)).all()
    assert torch.equal(baseline, composition.random_baseline(CFG.d_model, CFG.d_head, draws=100))
