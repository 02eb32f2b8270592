"""Random stacks: exact where a closed form exists, and the ordering that the lab shows."""

from __future__ import annotations

import pytest
import torch

from labs_src.circuits import depth


def test_a_silent_block_does_nothing_with_a_skip_and_everything_without():
    x = torch.randn(3, 8)
    silent = [(torch.randn(8, 32), torch.zeros(32, 8))]
    assert torch.equal(depth.run(x, silent, skip=True, norm=False), x)
    assert torch.equal(depth.run(x, silent, skip=False, norm=False), torch.zeros_like(x))


def test_deeper_stacks_begin_like_shallower_ones():
    short, long = depth.stack(2, seed=5), depth.stack(4, seed=5)
    assert all(torch.equal(a, b) for pair in zip(short, long) for a, b in zip(*pair))


def test_gradient_against_finite_differences():
    seed, step = 1, 1e-3
    g = torch.Generator().manual_seed(10_000 + seed)
    x, direction = torch.randn(2, depth.POSITIONS, depth.WIDTH, generator=g).double()
    blocks = [tuple(W.double() for W in block) for block in depth.stack(2, seed)]
    along = torch.randn(blocks[0][0].shape, generator=g).double()

    def read(t):
        first = (blocks[0][0] + t * along, blocks[0][1])
        return float((depth.run(x, [first, *blocks[1:]], True, True) * direction).sum())

    W = blocks[0][0].clone().requires_grad_()
    (depth.run(x, [(W, blocks[0][1]), *blocks[1:]], True, True) * direction).sum().backward()
    slope = (read(step) - read(-step)) / (2 * step)
    assert slope == pytest.approx(float((W.grad * along).sum()), rel=1e-4)


def test_gradients_vanish_only_without_skip_and_norm():
    ratio = {(s, n): depth.gradient_ratios([16], s, n, seeds=2)[0] for s in (True, False) for n in (True, False)}
    assert ratio[False, False] < 1e-3 and ratio[True, False] > 5
    assert 0.5 < ratio[True, True] < 2 and 0.3 < ratio[False, True] < 10


def test_participation_ratio_between_one_and_all():
    assert depth.participation_ratio(torch.tensor([3.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert depth.participation_ratio(torch.full((7,), 0.2)) == pytest.approx(7.0)
    assert depth.participation_ratio(torch.tensor([2.0, 2.0, 0.0])) == pytest.approx(2.0)
    assert depth.participation_ratio(torch.tensor([1.0] + [0.1] * 63)) < 3  # no direction is lost here


def test_spectrum_without_norms_of_a_linear_stack_is_that_of_the_product(monkeypatch):
    monkeypatch.setattr(depth.F, "gelu", lambda x: x)
    monkeypatch.setattr(depth.F, "layer_norm", lambda x, size: x)
    product = torch.eye(depth.WIDTH, dtype=torch.float64)
    for W_in, W_out in depth.stack(3, seed=2):
        product = product @ (torch.eye(depth.WIDTH) + W_in @ W_out).double()
    torch.testing.assert_close(depth.spectrum(3, True, 2), torch.linalg.svdvals(product), rtol=1e-4, atol=1e-5)


def test_the_skip_slows_the_narrowing():
    ratio = {skip: depth.participation_ratio(depth.spectrum(16, skip, 0)) for skip in (True, False)}
    assert ratio[True] > 3 * ratio[False]
    assert ratio[True] < depth.participation_ratio(depth.spectrum(1, True, 0)) / 2  # and does not stop it
