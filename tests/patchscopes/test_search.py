"""The search: gradients by finite differences, rows apart, and the false optimum with its way out."""

from __future__ import annotations

import pytest
import torch
from tiny_gated import D, Tiny
from torch.nn.functional import gelu

from labs_src.patchscopes import natural, search

TARGETS = [(0, 1), (1, 4), (1, 0)]


@pytest.fixture
def site():
    return search.Site(Tiny(), torch.tensor([[2, 5, 7, 3]]), at=2, inject=0)


@pytest.fixture
def x():
    return torch.randn(3, D, generator=torch.Generator().manual_seed(1))


def test_response_is_the_target_in_a_run_by_hand(site, x):
    got = search.respond(site, x, TARGETS)
    for row, (layer, neuron) in enumerate(TARGETS):
        ids, kept = site.ids, {}

        def put(value, hook, row=row):
            value = value.clone()
            value[0, site.at] = x[row]
            return value

        hooks = [("blocks.0.hook_resid_pre", put)]
        hooks.append((f"blocks.{layer}.mlp.hook_post", lambda v, hook, kept=kept: kept.update(post=v)))
        site.model.run_with_hooks(ids, hooks)
        torch.testing.assert_close(got.post[row], kept["post"][0, site.at, neuron])
    torch.testing.assert_close(got.post, gelu(got.gate, approximate="tanh") * got.up)


def test_gradient_equals_finite_differences(site, x):
    for name in ("W_E", "W_U"):
        setattr(site.model, name, getattr(site.model, name).double())
    for name in ("mix", "W_gate", "W_up", "W_out"):
        setattr(site.model, name, [w.double() for w in getattr(site.model, name)])
    v = x.double().requires_grad_(True)

    def total(v):
        kept = []
        hooks = [site.put(v), ("blocks.1.mlp.hook_post", lambda post, hook: kept.append(post))]
        site.model.run_with_hooks(site.ids.expand(3, -1), hooks)
        return kept[0][:, site.at, 4].sum()

    gradient = torch.autograd.grad(total(v), v)[0]
    for row, d in ((0, 0), (1, 3), (2, 5)):
        step = torch.zeros_like(x, dtype=torch.double)
        step[row, d] = 1e-5
        with torch.no_grad():
            slope = (total(v + step) - total(v - step)) / 2e-5
        torch.testing.assert_close(slope, gradient[row, d], rtol=1e-5, atol=1e-9)


def test_first_step_follows_the_gradient_and_rows_do_not_touch(site, x):
    v = x.clone().requires_grad_(True)
    gradient = torch.autograd.grad(search.respond(site, v, TARGETS).post.sum(), v)[0]
    one = search.ascend(site, x, TARGETS, steps=1, lr=0.01)
    torch.testing.assert_close(one.vectors, x + 0.01 * gradient.sign(), atol=1e-4, rtol=0)  # Adam's first step
    together = search.ascend(site, x, TARGETS, steps=12)
    for row, target in enumerate(TARGETS):
        alone = search.ascend(site, x[row : row + 1], [target], steps=12)
        torch.testing.assert_close(alone.vectors[0], together.vectors[row], atol=1e-5, rtol=1e-4)


def test_result_is_measured_after_the_last_step(site, x):
    found = search.ascend(site, x, TARGETS, steps=7)
    torch.testing.assert_close(found.value, search.respond(site, found.vectors, TARGETS).post)
    torch.testing.assert_close(found.trace[-1], found.value)
    torch.testing.assert_close(found.trace[0], search.respond(site, x, TARGETS).post)
    assert found.trace.shape == (8, 3) and (found.value > found.trace[0]).all()


def gated(gate_start: float, up_start: float) -> tuple[search.Site, torch.Tensor]:
    """One neuron whose gate and up are the first two coordinates."""
    model = Tiny()
    model.mix = [torch.zeros(D, D)] * 2
    for W, d in ((model.W_gate, 0), (model.W_up, 1)):
        W[0] = torch.zeros_like(W[0])
        W[0][d, 3] = 1
    start = torch.zeros(1, D)
    start[0, 0], start[0, 1] = gate_start, up_start
    return search.Site(model, torch.tensor([[2, 1]]), 1, 0), start


def test_plain_ascent_is_caught_with_gate_at_the_minimum_of_gelu():
    site, start = gated(-0.3, -0.3)
    caught = search.ascend(site, start, [(0, 3)], steps=400, lr=0.05)
    assert caught.up < -3 and abs(float(caught.gate) + 0.7517) < 0.05
    free = search.ascend(site, start, [(0, 3)], steps=400, lr=0.05, objective=search.warm_objective)
    assert free.gate > 3 and free.up > 3 and free.value > 5 * caught.value


def test_from_a_good_start_the_plain_recipe_does_as_well():
    site, start = gated(1.2, 1.2)  # control: nothing to mend here
    plain = search.ascend(site, start, [(0, 3)])
    warm = search.ascend(site, start, [(0, 3)], objective=search.warm_objective)
    torch.testing.assert_close(plain.value, warm.value)


def test_projection_penalty_and_parametrisation(site, x):
    ball = natural.Natural.fit(torch.randn(50, D)).norm_ball(0.9)
    held = search.ascend(site, ball(x), TARGETS, steps=30, project=ball)
    assert (held.vectors.norm(dim=-1) <= 0.9 + 1e-5).all()
    assert (held.value < search.ascend(site, ball(x), TARGETS, steps=30).value + 1e-6).all()
    W = torch.randn(4, D)
    code = search.ascend(
        site, torch.zeros(3, 4), TARGETS, steps=30, make=lambda z: z @ W, project=lambda z: z.clamp(0, 1)
    )
    assert torch.linalg.matrix_rank(torch.cat([W, code.vectors])) == 4
    tied = search.ascend(site, x, TARGETS, steps=30, penalty=lambda p: 1e3 * (p - x).pow(2).sum(-1))
    assert (tied.vectors - x).norm() < 0.5 * (search.ascend(site, x, TARGETS, steps=30).vectors - x).norm()


def test_bad_input_gets_one_message(site, x):
    with pytest.raises(ValueError, match="3 vectors and 1 targets"):
        search.respond(site, x, [(0, 1)])
    with pytest.raises(ValueError, match="comes before it"):
        search.respond(search.Site(site.model, site.ids, 2, 1), x, [(0, 0)] * 3)
    with pytest.raises(FloatingPointError, match="step 1"):
        search.ascend(site, x, TARGETS, steps=3, project=lambda p: p / 0)


def test_kept_vectors_are_those_of_a_shorter_search(site, x):
    longer = search.ascend(site, x, TARGETS, steps=6, keep=(0, 2, 6))
    assert sorted(longer.kept) == [0, 2, 6] and torch.equal(longer.kept[0], x)
    torch.testing.assert_close(longer.kept[2], search.ascend(site, x, TARGETS, steps=2).vectors)
    torch.testing.assert_close(longer.kept[6], longer.vectors)
    assert search.ascend(site, x, TARGETS, steps=1).kept == {}
