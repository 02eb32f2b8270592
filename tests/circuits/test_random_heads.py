"""Heads with random weights: what stays of the real ones, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from gemmas import gemma

from labs_src.circuits import baselines, folding


@pytest.fixture(scope="module")
def folded():
    return folding.fold(gemma("random"), 1)


@pytest.mark.parametrize("make", [baselines.gaussian_heads, baselines.rotated_heads])
def test_shapes_and_sizes_stay_and_the_source_decides(folded, make):
    one, again, other = (make(folded, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    for name in baselines.MATRICES:
        real, drawn = getattr(folded, name), getattr(one, name)
        assert drawn.shape == real.shape and drawn.dtype == real.dtype
        assert torch.equal(drawn, getattr(again, name)) and not torch.allclose(drawn, getattr(other, name))
        assert float(drawn.std()) == pytest.approx(float(real.std()), rel=0.05)
    assert (one.layer, one.scale, one.theta, one.window) == (folded.layer, folded.scale, folded.theta, folded.window)


def test_a_rotated_head_keeps_the_singular_values_of_its_two_circuits(folded):
    turned = baselines.rotated_heads(folded, torch.Generator().manual_seed(0))
    for head in range(folded.n_heads):
        kv = folded.kv(head)
        for name, index in (("W_Q", head), ("W_K", kv), ("W_V", kv), ("W_O", head)):
            assert not torch.allclose(getattr(turned, name)[index], getattr(folded, name)[index], atol=0.1)
        for real, drawn in (
            (folded.W_Q[head] @ folded.W_K[kv].T, turned.W_Q[head] @ turned.W_K[kv].T),
            (folded.W_V[kv] @ folded.W_O[head], turned.W_V[kv] @ turned.W_O[head]),
        ):
            values = [torch.linalg.svdvals(m.double()) for m in (real, drawn)]
            assert torch.allclose(*values, rtol=1e-3, atol=1e-4)
            assert abs(float((real * drawn).sum() / real.norm() / drawn.norm())) < 0.2  # no feature stays where it was


def test_a_gaussian_head_does_not_keep_them(folded):
    peaked = folded.W_Q.clone()
    peaked[0] = torch.outer(peaked[0, :, 0], peaked[0, 0])  # one direction alone
    real = replace(folded, W_Q=peaked)
    drawn = {
        f: f(real, torch.Generator().manual_seed(0)).W_Q[0] for f in (baselines.gaussian_heads, baselines.rotated_heads)
    }
    rank = {f: int((torch.linalg.svdvals(m) > 1e-4 * torch.linalg.matrix_norm(m, 2)).sum()) for f, m in drawn.items()}
    assert rank[baselines.rotated_heads] == 1 and rank[baselines.gaussian_heads] > 10


def test_frames_point_everywhere(folded):
    """Rotations are drawn evenly: no coordinate of the turned matrices has one sign."""
    first = torch.stack(
        [baselines.rotated_heads(folded, torch.Generator().manual_seed(s)).W_Q[0, 0, 0].sign() for s in range(40)]
    )
    assert abs(float(first.mean())) < 0.6
