"""Ablations do what they say, and nothing else."""

from __future__ import annotations

import pytest
import torch

from labs_src.circuits import ablation, heads
from labs_src.models.attention_only import AttentionOnly, Config

CFG = Config(n_layers=2, d_model=12, n_heads=3, d_head=5, n_ctx=9, d_vocab=17)


@pytest.fixture
def model():
    return AttentionOnly(CFG, seed=1).requires_grad_(False)


@pytest.fixture
def tokens():
    return torch.randint(0, CFG.d_vocab, (4, 9), generator=torch.Generator().manual_seed(0))


def test_zero_ablation_is_a_model_without_the_head(model, tokens):
    got = ablation.ablate_heads(model, tokens, [(0, 1), (1, 2)], how="zero")
    model.W_O[0, 1] = 0.0
    model.W_O[1, 2] = 0.0
    assert torch.allclose(got, model(tokens), atol=1e-5)


def test_mean_ablation_changes_nothing_when_all_texts_are_the_same(model, tokens):
    same = tokens[:1].expand(4, -1)
    assert torch.allclose(ablation.ablate_heads(model, same, [(0, 1)]), model(same), atol=1e-5)
    assert not torch.allclose(ablation.ablate_heads(model, tokens, [(0, 1)]), model(tokens), atol=1e-3)


@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_path_ablation_is_a_model_that_reads_a_cleaned_stream(model, tokens, into):
    """Compute layer 1 by hand, with the chosen heads missing from one of its three inputs."""
    _, cache = model.run_with_cache(tokens)
    stream = cache["blocks.1.hook_resid_pre"]
    clean = stream - cache["blocks.0.attn.hook_result"][:, :, [0, 2]].sum(2)
    pos = cache["hook_pos_embed"]
    read = {name: (clean if name == into else stream) for name in "qkv"}
    q = torch.einsum("bpd,hde->bhpe", read["q"] + pos, model.W_Q[1])
    k = torch.einsum("bpd,hde->bhpe", read["k"] + pos, model.W_K[1])
    v = torch.einsum("bpd,hde->bhpe", read["v"], model.W_V[1])
    z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    logits = (stream + torch.einsum("bhpe,hed->bpd", z, model.W_O[1])) @ model.W_U
    got, pattern = ablation.ablate_path(model, tokens, [0, 2], into)
    assert torch.allclose(got, logits, atol=1e-4)
    intact = heads.patterns(cache)[1]
    assert torch.allclose(pattern, intact, atol=1e-5) == (into == "v")


def test_cutting_no_head_changes_nothing(model, tokens):
    assert torch.allclose(ablation.ablate_path(model, tokens, [])[0], model(tokens), atol=1e-5)


def test_unknown_words_are_refused(model, tokens):
    with pytest.raises(ValueError, match="'zero' or 'mean'"):
        ablation.ablate_heads(model, tokens, [(0, 0)], how="median")
    with pytest.raises(ValueError, match="'q', 'k' or 'v'"):
        ablation.ablate_path(model, tokens, [0], into="z")


def test_rescaled_keeps_directions_and_takes_norms():
    g = torch.Generator().manual_seed(3)
    vectors, to = torch.randn(2, 5, 3, 4, generator=g), 7 * torch.randn(2, 5, 3, 4, generator=g)
    got = ablation.rescaled(vectors, to)
    assert torch.allclose(got.norm(dim=-1), to.norm(dim=-1), rtol=1e-4)
    assert torch.allclose(torch.cosine_similarity(got, vectors, dim=-1), torch.ones(2, 5, 3), atol=1e-5)
    assert torch.equal(ablation.rescaled(torch.zeros(2, 4), to[0, :2, 0]), torch.zeros(2, 4))  # nothing to scale


def test_what_is_subtracted_is_what_the_heads_put_there(model, tokens):
    """With both heads' writes gone, keys are those of a stream that never had them."""
    _, cache = model.run_with_cache(tokens)
    removed = ablation.path_writes(model, cache["blocks.0.attn.hook_result"], [0, 1, 2])
    clean = cache["hook_embed"] + cache["hook_pos_embed"]
    k = torch.einsum("bpd,hde->bphe", clean, model.W_K[1])
    assert torch.allclose(cache["blocks.1.attn.hook_k"] - removed, k, atol=1e-5)
    _, pattern = ablation.subtract(model, tokens, torch.zeros_like(removed))
    assert torch.allclose(pattern, heads.patterns(cache)[1], atol=1e-6)
