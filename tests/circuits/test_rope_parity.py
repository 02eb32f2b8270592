"""Rotary positions against transformers' own apply_rotary_pos_emb; interleaved pairs are the negative control."""

from __future__ import annotations

import pytest
import torch
from gemmas import NAMES, gemma
from transformers.models.gemma2.modeling_gemma2 import Gemma2RotaryEmbedding, apply_rotary_pos_emb

from labs_src.circuits import folding, rope

LENGTH = 1100  # distances up to 1024
LAYERS = [(name, layer) for name in NAMES for layer in range(gemma(name).config.num_hidden_layers)]


def rotated_by_model(config, q, k):
    """Queries and keys [head, pos, d_head] at positions 0, 1, ..."""
    cos, sin = Gemma2RotaryEmbedding(config)(q, torch.arange(q.shape[1])[None])
    q, k = apply_rotary_pos_emb(q[None], k[None], cos, sin)
    return q[0], k[0]


@pytest.mark.parametrize("name", NAMES)
def test_rotated_vectors(name):
    config = gemma(name).config
    theta = config.rope_parameters["rope_theta"]
    q = torch.randn(3, LENGTH, config.head_dim, generator=torch.Generator().manual_seed(0))
    wanted, _ = rotated_by_model(config, q, q)
    assert (rope.rotate(q, torch.arange(LENGTH), theta) - wanted).abs().max() < 1e-3
    assert (rope.rotate(q, torch.arange(LENGTH), theta, "interleaved") - wanted).abs().max() > 1


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_logit_depends_on_the_distance_alone(name, layer):
    """q . R(-(t - s)) k, with the model's own queries and keys of every head; at all distances."""
    config, folded = gemma(name).config, folding.fold(gemma(name), layer)
    x = torch.randn(LENGTH, config.hidden_size, generator=torch.Generator().manual_seed(layer))
    x = x / folding.rms(x)
    q = torch.einsum("pd,hde->hpe", x, folded.W_Q)
    k = torch.einsum("pd,hde->hpe", x, folded.W_K)[[folded.kv(h) for h in range(folded.n_heads)]]
    rot_q, rot_k = rotated_by_model(config, q, k)
    t = torch.randint(0, LENGTH, (400,), generator=torch.Generator().manual_seed(1))
    s = (torch.rand(400, generator=torch.Generator().manual_seed(2)) * (t + 1)).long()
    wanted = (rot_q[:, t] * rot_k[:, s]).sum(-1) * folded.scale

    def error(**how) -> float:
        got = (q[:, t] * rope.key_at(k[:, s], t - s, folded.theta, **how)).sum(-1) * folded.scale
        return float((got - wanted).abs().max())

    right, interleaved = error(), error(pairing="interleaved")
    wrong_way = (q[:, t] * rope.rotate(k[:, s], t - s, folded.theta)).sum(-1) * folded.scale
    print(f"{name:14} layer {layer}: halves {right:.1e}, interleaved {interleaved:.1e}")
    assert right < 1e-3
    assert interleaved > 10 * max(right, 1e-3)
    assert float((wrong_way - wanted).abs().max()) > 10 * max(right, 1e-3)


def test_by_hand():
    """One pair of dimensions, turned by a quarter; d_head 2 has frequency 1."""
    x = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(rope.rotate(x, torch.pi / 2, 10.0), torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(rope.key_at(x, torch.pi / 2, 10.0), torch.tensor([0.0, -1.0]), atol=1e-6, rtol=0)
    y = torch.tensor([1.0, 2.0, 3.0, 4.0])
    half, inter = rope.rotate(y, 1.0, 100.0), rope.rotate(y, 1.0, 100.0, "interleaved")
    c, s = torch.tensor([1.0, 0.1]).cos(), torch.tensor([1.0, 0.1]).sin()
    torch.testing.assert_close(half, torch.cat([y[:2] * c - y[2:] * s, y[2:] * c + y[:2] * s]))
    torch.testing.assert_close(inter[0::2], y[0::2] * c - y[1::2] * s)
    torch.testing.assert_close(inter[1::2], y[1::2] * c + y[0::2] * s)


def test_pairings_are_one_rotation_in_another_order():
    """Interleaved after permuting dimensions is the same function: a conversion script that forgets it is the bug."""
    x = torch.randn(5, 12)
    order = torch.cat([torch.arange(0, 12, 2), torch.arange(1, 12, 2)])  # interleaved dimension -> place in halves
    a = rope.rotate(x, torch.arange(5), 50.0, "interleaved")[:, order]
    torch.testing.assert_close(a, rope.rotate(x[:, order], torch.arange(5), 50.0))


def test_bins():
    assert rope.centre((4, 8)) == 6
    found = rope.bin_of(torch.tensor([0, 3, 4, 7, 8, 511, 512, 1023, 5000]))
    assert found.tolist() == [0, 0, 1, 1, 2, 7, 8, 8, 8]
    for low, high in rope.DISTANCE_BINS:
        assert rope.bin_of(torch.tensor([low, high - 1])).unique().numel() == 1


def test_bad_arguments_say_what_to_do():
    with pytest.raises(ValueError, match="'halves', 'interleaved'"):
        rope.rotate(torch.zeros(4), 1, 10.0, "half")
    with pytest.raises(ValueError, match="odd"):
        rope.rotate(torch.zeros(5), 1, 10.0)
