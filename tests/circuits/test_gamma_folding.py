"""Gamma folding against transformers' own Gemma2RMSNorm and projections, at every layer, head and three scales.

The errata's bug folds gamma where Gemma's norm multiplies by 1 + gamma. It is the negative control here: it must fail
the same test by far. `pytest -s` prints its cosine per layer.
"""

from __future__ import annotations

import pytest
import torch
from gemmas import NAMES, gemma

from labs_src.circuits import folding

SCALES = (1.0, 12.0, 100.0)


def by_model(block, x: torch.Tensor, d_head: int) -> dict[str, torch.Tensor]:
    """What transformers computes from raw vectors [n, d_model]: queries, keys, values, a row of heads each."""
    normed = block.input_layernorm(x)
    return {c: getattr(block.self_attn, f"{c}_proj")(normed).unflatten(-1, (-1, d_head)) for c in "qkv"}


def by_fold(folded: folding.Folded, x: torch.Tensor, eps: float) -> dict[str, torch.Tensor]:
    """The same from folded weights: 1 / rms is all that is left of the norm."""
    y = x / folding.rms(x, eps)
    weights = {"q": folded.W_Q, "k": folded.W_K, "v": folded.W_V}
    return {c: torch.einsum("nd,hde->nhe", y, W) for c, W in weights.items()}


def compared(name: str, layer: int, scale: float, gain: str = "1+gamma") -> list[tuple[str, float, float]]:
    """(projection and head, relative error, cosine) for every head."""
    model = gemma(name)
    config = model.config
    x = scale * torch.randn(64, config.hidden_size, generator=torch.Generator().manual_seed(layer))
    wanted = by_model(model.model.layers[layer], x, config.head_dim)
    got = by_fold(folding.fold(model, layer, gain=gain), x, config.rms_norm_eps)
    rows = []
    for c in "qkv":
        assert got[c].shape == wanted[c].shape
        for h in range(got[c].shape[1]):
            a, b = got[c][:, h], wanted[c][:, h]
            rows.append((f"{c}{h}", float((a - b).norm() / b.norm()), cosine(a, b)))
    return rows


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


LAYERS = [(name, layer) for name in NAMES for layer in range(gemma(name).config.num_hidden_layers)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_fold_is_what_the_model_computes(name, layer, scale):
    config, rows = gemma(name).config, compared(name, layer, scale)
    assert len(rows) == config.num_attention_heads + 2 * config.num_key_value_heads
    for head, error, cos in rows:
        assert error < 1e-4 and cos > 0.99999, head


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_legacy_fold_is_not(name, layer):
    """Printed for the record, per layer: the bug's size."""
    for gain in ("gamma", "none"):
        rows = compared(name, layer, 12.0, gain)
        lowest = min(cos for _, _, cos in rows)
        print(f"{name:14} layer {layer} {gain:6} cosine of heads {lowest:6.3f} to {max(c for *_, c in rows):.3f}")
        assert all(error > 0.1 for _, error, _ in rows), f"{gain}: the test could not tell this fold from the right one"
        assert lowest < 0.99


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_norm_after_attention_and_output(name, layer):
    """Per head: z @ W_O, divided by the rms of all heads' sum, is what the block adds to the stream."""
    model = gemma(name)
    config, block = model.config, model.model.layers[layer]
    g = torch.Generator().manual_seed(7)
    z = torch.randn(16, config.num_attention_heads, config.head_dim, generator=g)
    before = block.self_attn.o_proj(z.flatten(1))
    wanted = block.post_attention_layernorm(before)
    size = folding.rms(before, config.rms_norm_eps)
    got = torch.einsum("nhe,hed->nd", z, folding.fold(model, layer).W_O) / size
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    legacy = torch.einsum("nhe,hed->nd", z, folding.fold(model, layer, post="gamma").W_O) / size
    assert (legacy - wanted).norm() > 0.1 * wanted.norm()


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_both_norms_of_the_mlp(name, layer):
    model = gemma(name)
    config, block = model.config, model.model.layers[layer]
    x = 5 * torch.randn(16, config.hidden_size, generator=torch.Generator().manual_seed(8))
    wanted = block.post_feedforward_layernorm(block.mlp(block.pre_feedforward_layernorm(x)))

    def by_weights(gain: str) -> torch.Tensor:
        mlp, y = folding.fold_mlp(model, layer, gain=gain), x / folding.rms(x, config.rms_norm_eps)
        hidden = torch.nn.functional.gelu(y @ mlp.W_gate, approximate="tanh") * (y @ mlp.W_up)
        plain = block.mlp(block.pre_feedforward_layernorm(x))
        return hidden @ mlp.W_down / folding.rms(plain, config.rms_norm_eps)

    torch.testing.assert_close(by_weights("1+gamma"), wanted, rtol=1e-3, atol=1e-4)
    assert (by_weights("gamma") - wanted).norm() > 0.1 * wanted.norm()


def test_bad_arguments_say_what_to_do():
    model = gemma("random")
    with pytest.raises(ValueError, match="1\\+gamma"):
        folding.fold(model, 0, gain="1 + gamma")
    with pytest.raises(IndexError, match="layers 0 to 3"):
        folding.fold(model, 4)
    with pytest.raises(IndexError, match="heads 0 to 5"):
        folding.fold(model, 0).kv(6)
