"""The small model equals TransformerLens's, with a negative control; its hooks do what their names say."""

from __future__ import annotations

import warnings

import pytest
import torch

from labs_src.models.attention_only import AttentionOnly, Config

SMALL = Config(n_layers=2, d_model=16, n_heads=3, d_head=8, n_ctx=12, d_vocab=20)


@pytest.fixture(scope="module")
def model():
    return AttentionOnly(SMALL, seed=1).requires_grad_(False)


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(20, (3, 12), generator=torch.Generator().manual_seed(0))


def library_model(model, positions):
    """The same weights in TransformerLens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformer_lens import HookedTransformer, HookedTransformerConfig

        c = model.cfg
        other = HookedTransformer(
            HookedTransformerConfig(
                n_layers=c.n_layers, d_model=c.d_model, n_heads=c.n_heads, d_head=c.d_head, n_ctx=c.n_ctx,
                d_vocab=c.d_vocab, attn_only=True, normalization_type=None, positional_embedding_type=positions,
                device="cpu",
            )
        )  # fmt: skip
    state = {k: torch.zeros_like(v) for k, v in other.state_dict().items() if ".b_" in k or k.startswith("unembed.b")}
    state |= {"embed.W_E": model.W_E, "pos_embed.W_pos": model.W_pos, "unembed.W_U": model.W_U}
    for layer in range(c.n_layers):
        for w in ("W_Q", "W_K", "W_V", "W_O"):
            state[f"blocks.{layer}.attn.{w}"] = getattr(model, w)[layer]
    other.load_state_dict(state, strict=False)
    other.set_use_attn_result(True)
    return other.requires_grad_(False)


def test_equals_transformer_lens_value_by_value(model, tokens):
    logits, cache = model.run_with_cache(tokens)
    theirs, their_cache = library_model(model, "shortformer").run_with_cache(tokens)
    torch.testing.assert_close(logits, theirs, atol=1e-5, rtol=1e-5)
    assert list(cache) == model.hook_names()
    for name, value in cache.items():
        torch.testing.assert_close(value, their_cache[name].expand_as(value), atol=1e-5, rtol=1e-5, msg=name)


def test_positions_in_the_stream_would_differ(model, tokens):
    theirs = library_model(model, "standard")(tokens)
    assert (model(tokens) - theirs).abs().max() > 0.1


def test_caching_changes_nothing(model, tokens):
    torch.testing.assert_close(model(tokens), model.run_with_cache(tokens)[0], atol=1e-5, rtol=1e-5)
    assert model._cache is None


def test_causal(model, tokens):
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 20
    difference = (model(tokens) - model(changed)).abs().amax((0, 2))
    assert (difference[:7] == 0).all() and (difference[7:] > 0).all()


@pytest.mark.parametrize("name", AttentionOnly(SMALL).hook_names())
def test_every_hook_replaces_its_value(model, tokens, name):
    before = model(tokens)
    seen = []
    same = model.run_with_hooks(tokens, [(name, lambda value, name: seen.append((name, value.shape)))])
    torch.testing.assert_close(same, before, atol=1e-5, rtol=1e-5)
    assert seen[0][0] == name and seen[0][1] == model.run_with_cache(tokens)[1][name].shape
    noise = torch.Generator().manual_seed(2)

    def disturb(value, name):
        return value + torch.randn(value.shape, generator=noise)

    assert (model.run_with_hooks(tokens, [(name, disturb)]) - before).abs().max() > 1e-3
    torch.testing.assert_close(model(tokens), before)


def test_hooks_are_removed_after_an_error(model, tokens):
    def fail(value, name):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        model.run_with_hooks(tokens, [("hook_embed", fail)])
    model(tokens)


def test_bad_inputs(model, tokens):
    with pytest.raises(ValueError, match=r"no hook named 'blocks.0.hook_z'.*hook_names"):
        model.run_with_hooks(tokens, [("blocks.0.hook_z", lambda value, name: None)])
    with pytest.raises(ValueError, match="at most 12 tokens"):
        model(torch.zeros(1, 13, dtype=torch.long))
