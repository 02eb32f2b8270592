"""The recipes are deterministic on one thread; the measures have known answers on patterns made by hand."""

from __future__ import annotations

import json

import pytest
import torch

from labs_src.models import recipes
from labs_src.models.attention_only import AttentionOnly, Config
from labs_src.models.recipes import induction, measure, prenorm


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_same_seed_same_weights():
    seen = []
    a = induction.train(seed=3, steps=3, every=2, on_step=seen.append)
    b = induction.train(seed=3, steps=3, every=2)
    c = induction.train(seed=4, steps=3, every=2)
    for name, value in a.model.state_dict().items():
        assert torch.equal(value, b.model.state_dict()[name])
        assert not torch.equal(value, c.model.state_dict()[name])
    assert [e["step"] for e in a.history] == [0, 2, 3] == [step for step, _ in a.checkpoints]
    assert seen == a.history
    assert not torch.equal(a.checkpoints[0][1]["W_E"], a.checkpoints[2][1]["W_E"])


def test_training_lowers_the_loss_and_stop_ends_it():
    run = induction.train(seed=0, steps=60, every=20, stop=lambda e: e["step"] >= 40)
    assert [e["step"] for e in run.history] == [0, 20, 40]
    with pytest.raises(ValueError, match="at least 1"):
        induction.train(steps=0)


def test_prenorm_is_deterministic():
    a, b = (prenorm.train(seed=1, steps=2, every=2).model.state_dict() for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)


def hand_made(length, shift, heads=2):
    """Patterns in which head 0 attends ``shift`` back and head 1 to itself."""
    n = 1 + 2 * length
    p = torch.zeros(3, heads, n, n)
    q = torch.arange(n)
    p[:, 0, q, (q - shift).clamp_min(0)] = 1
    p[:, 1, q, q] = 1
    return p


def test_scores_of_perfect_heads():
    length = 7
    assert measure.induction_scores(hand_made(length, length - 1)).tolist() == [1, 0]
    assert measure.previous_token_scores(hand_made(length, 1)).tolist() == [1, 0]
    for wrong in (length - 2, length, length + 1, 1):
        assert measure.induction_scores(hand_made(length, wrong))[0] == 0
    for wrong in (0, 2):
        assert measure.previous_token_scores(hand_made(length, wrong))[0] < 0.2


def test_half_losses_leave_out_the_unpredictable_target():
    length = 4
    tokens = torch.tensor([[0, 1, 2, 3, 4, 1, 2, 3, 4]])
    logits = torch.zeros(1, 9, 5)
    logits[0, torch.arange(length + 1, 8), tokens[0, length + 2 :]] = 50  # certain from the second copy's second token
    first, second = measure.half_losses(logits, tokens)
    assert first == pytest.approx(torch.tensor(5.0).log().item()) and second == pytest.approx(0, abs=1e-6)


def test_path_ablation_of_all_heads_equals_keys_without_layer_0():
    """Taking every head's part away must leave keys made of tokens and positions alone."""
    model = AttentionOnly(Config(d_model=16, n_heads=2, d_head=8), seed=0).requires_grad_(False)
    tokens = measure.eval_tokens(batch=2, block_len=5)
    _, cache = model.run_with_cache(tokens)
    keys = torch.einsum("bpd,hde->bphe", cache["hook_embed"] + cache["hook_pos_embed"], model.W_K[1])
    queries = cache["blocks.1.attn.hook_q"]
    scores = torch.einsum("bqhe,bkhe->bhqk", queries, keys) / 8**0.5
    future = torch.ones(11, 11, dtype=torch.bool).triu(1)
    expected = measure.induction_scores(scores.masked_fill(future, -torch.inf).softmax(-1)).max()
    assert measure.induction_without(model, tokens, [0, 1]) == pytest.approx(expected.item(), abs=1e-6)
    whole = measure.induction_scores(cache["blocks.1.attn.hook_pattern"]).max()
    assert measure.induction_without(model, tokens, []) == pytest.approx(whole.item(), abs=1e-6)


def test_unknown_recipe():
    with pytest.raises(ValueError, match="no recipe for 'nothing'; recipes: induction-2l"):
        recipes.build(["nothing"])


@pytest.mark.parametrize(
    ("change", "ok", "verdict"),
    [
        ({}, True, "identical weights"),
        ({"weights": b"other"}, False, "recipe or its text changed"),
        ({"weights": b"other", "machine": "another"}, True, "within tolerance"),
        ({"weights": b"other", "machine": "another", "value": 0.5}, False, "out of tolerance"),
    ],
)
def test_compare(tmp_path, monkeypatch, change, ok, verdict):
    from labs_src import paths
    from labs_src.models.manifest import write_manifest

    def write(folder, weights=b"same", machine="here", value=0.9):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(weights)
        card = {"measured": {"score": value}, "tolerance": {"score": 0.1}, "machine": machine}
        (folder / "card.json").write_text(json.dumps(card | {"training_cpu_seconds": 1.0}))

    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    write(tmp_path / "data/models/tiny")
    write(tmp_path / "built/tiny", **change)
    write_manifest()
    result = recipes.compare_with_shipped("tiny", tmp_path / "built/tiny")
    assert result.ok is ok and verdict in result.verdict
    assert "tiny" in recipes.table(result)
