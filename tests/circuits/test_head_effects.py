"""Taking heads of a Gemma-2 away does what it says, and intervals are those of a paired bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labs_src import models
from labs_src.circuits import head_effects
from labs_src.language import prompts


@pytest.fixture(scope="module")
def model():
    return models.load("mini-gemma").model


@pytest.fixture(scope="module")
def capitals():
    return prompts.fact_ids("capital")


@pytest.fixture(scope="module")
def asked():
    full = prompts.facts("capital", "before_is")
    return prompts.Prompts(full.ids[:6], full.last[:6], full.answer[:6], full.wrong[:6])


def by_hand(model, asked, capitals, layer, head, z_new=None):
    """Zero rows of W_O, or the head's output replaced by hand in the module's input; candidates' log probabilities."""
    attn = model.original_model.model.layers[layer].self_attn
    size = model.original_model.config.head_dim

    def hook(module, args):
        z = args[0].clone()
        z[..., head * size : (head + 1) * size] = 0.0 if z_new is None else z_new
        return (z, *args[1:])

    handle = attn.o_proj.register_forward_pre_hook(hook)
    try:
        logits = model.original_model(asked.ids).logits
    finally:
        handle.remove()
    found = logits[torch.arange(len(asked)), asked.last][:, capitals].log_softmax(-1)
    return found, torch.tensor([capitals.tolist().index(a) for a in asked.answer.tolist()])


def test_zero_ablation_is_a_model_without_the_head(model, asked, capitals):
    got = head_effects.effects(model, asked, capitals, "zero", heads=[(0, 1), (3, 2)])
    for row, (layer, head) in enumerate(got.heads):
        log_prob, column = by_hand(model, asked, capitals, layer, head)
        rows = torch.arange(len(asked))
        assert torch.allclose(got.log_prob[row], log_prob[rows, column], atol=1e-4)
        assert torch.equal(got.right[row], log_prob.argmax(1) == column)
    assert not torch.allclose(got.log_prob[0], got.log_prob_before, atol=1e-2)


def test_mean_ablation_puts_the_mean_over_prompts_at_each_position(model, asked, capitals):
    _, cache = model.run_with_cache(asked.ids, names_filter="blocks.1.attn.hook_z")
    z = head_effects.by_head(cache["blocks.1.attn.hook_z"], model)[:, :, 3]
    mean = sum(z[i] for i in range(len(asked))) / len(asked)
    got = head_effects.effects(model, asked, capitals, "mean", heads=[(1, 3)])
    log_prob, column = by_hand(model, asked, capitals, 1, 3, mean[None])
    assert torch.allclose(got.log_prob[0], log_prob[torch.arange(len(asked)), column], atol=1e-4)


def test_mean_ablation_changes_nothing_when_all_prompts_are_the_same(model, asked, capitals):
    same = prompts.Prompts(
        *(getattr(asked, n)[:1].expand(4, *getattr(asked, n).shape[1:]) for n in ("ids", "last", "answer", "wrong"))
    )
    got = head_effects.effects(model, same, capitals, "mean", heads=[(0, 0), (5, 3)])
    assert torch.allclose(got.log_prob, got.log_prob_before.expand(2, -1), atol=1e-4)


def test_a_function_may_say_what_stands_there_instead(model, asked, capitals):
    names = {"zero": head_effects.zero_ablated, "mean": head_effects.mean_ablated}
    for name, function in names.items():
        by_name, by_function = (
            head_effects.effects(model, asked, capitals, how, heads=[(2, 1)]) for how in (name, function)
        )
        assert torch.equal(by_name.log_prob, by_function.log_prob)


def test_chunks_make_no_difference(model, asked, capitals, monkeypatch):
    whole = head_effects.effects(model, asked, capitals, "mean", heads=[(1, 2)])
    monkeypatch.setattr(head_effects, "CHUNK", 4)
    parts = head_effects.effects(model, asked, capitals, "mean", heads=[(1, 2)])
    assert torch.allclose(whole.log_prob, parts.log_prob, atol=1e-5)


def test_padding_counts_for_no_mean():
    z = torch.tensor([[1.0, 2.0, 3.0], [5.0, 7.0, 100.0]])[..., None]
    mean = head_effects.positional_mean(z, torch.tensor([2, 1]))
    assert mean[0, :, 0].tolist() == [3.0, 4.5, 3.0]


def test_unknown_ablations_and_missing_candidates_are_refused(model, asked, capitals):
    with pytest.raises(ValueError, match="zero, mean"):
        head_effects.effects(model, asked, capitals, "resample")
    with pytest.raises(ValueError, match="every possible answer"):
        head_effects.effects(model, asked, capitals[:3])


def test_interval_is_that_of_whole_prompts():
    rng = np.random.default_rng(1)
    before, after = torch.tensor(rng.random(40) < 0.6), torch.tensor(rng.random(40) < 0.8)
    got = head_effects.paired_interval(before, after, draws=4000)
    change = (after.float() - before.float()).numpy()
    assert got.change == pytest.approx(change.mean())
    error = change.std() / 40**0.5
    assert got.low == pytest.approx(change.mean() - 1.96 * error, abs=0.03)
    assert got.high == pytest.approx(change.mean() + 1.96 * error, abs=0.03)


def test_groups_are_drawn_as_a_whole():
    """Ten prompts per country that all change together say no more than one each."""
    change = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    groups = torch.arange(6).repeat_interleave(10)
    one = head_effects.paired_interval(torch.zeros(6), change)
    many = head_effects.paired_interval(torch.zeros(60), change.repeat_interleave(10), groups)
    naive = head_effects.paired_interval(torch.zeros(60), change.repeat_interleave(10))
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    assert naive.high - naive.low < 0.5 * (many.high - many.low)
    assert not many.clear or many.low > 0


def test_pairs_are_needed():
    with pytest.raises(ValueError, match="one value per prompt"):
        head_effects.paired_interval(torch.zeros(3), torch.zeros(4))
