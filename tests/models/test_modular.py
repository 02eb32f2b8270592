"""The modular-addition models: what they see, what they answer, and that the recipes are deterministic."""

from __future__ import annotations

import pytest
import torch

from labs_src import models
from labs_src.models.modular import Config, ModularAdder
from labs_src.models.recipes import grokking

SMALL = Config(p=7, d_vocab=8, d_model=16, n_heads=2, d_mlp=24)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("cfg", [SMALL, Config(7, 11, 7, 2, 16, 2, 24, norm=True, act="gelu")], ids=["plain", "norm"])
def test_one_position_equals_all_positions(cfg):
    model = ModularAdder(cfg, seed=1).requires_grad_(False)
    tokens = torch.randint(cfg.d_vocab, (5, cfg.n_ctx), generator=torch.Generator().manual_seed(0))
    for at in (-1, -2, 0):
        torch.testing.assert_close(model(tokens, at), model.run_with_cache(tokens, at)[0])
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % cfg.d_vocab
    a, b = (model.run_with_cache(t)[1]["blocks.1.hook_resid_post"] for t in (tokens, other))
    torch.testing.assert_close(a[:, :-1], b[:, :-1])  # nothing flows back
    assert not torch.allclose(a[:, -1], b[:, -1])
    with pytest.raises(ValueError, match="at most"):
        model(torch.zeros(1, cfg.n_ctx + 1, dtype=torch.long))


def test_attention_by_hand():
    model = ModularAdder(Config(p=7, d_vocab=8, n_layers=1, d_model=4, n_heads=1, d_mlp=6), seed=2).requires_grad_(
        False
    )
    tokens = torch.tensor([[3, 5, 7]])
    x = model.W_E[tokens[0]] + model.W_pos
    scores = (x[2] @ model.W_Q[0]) @ (x @ model.W_K[0]).T / 2
    y = x[2] + scores.softmax(0) @ (x @ model.W_V[0]) @ model.W_O[0]
    y = y + (y @ model.W_in[0] + model.b_in[0]).relu() @ model.W_out[0] + model.b_out[0]
    torch.testing.assert_close(model(tokens)[0], y @ model.W_U)


def test_sequences():
    ab = torch.tensor([[100, 20], [3, 4]])
    assert grokking.tokens(ab).tolist() == [[100, 20, 113], [3, 4, 113]]
    assert grokking.leaky_tokens(ab).tolist() == [[113, 100, 116, 20, 115, 7, 114], [113, 3, 116, 4, 115, 7, 114]]
    assert grokking.leaky_tokens(ab, torch.tensor([1, 2]))[:, grokking.LEAKY_POSITION].tolist() == [1, 2]
    train, test = grokking.split()
    both = torch.cat([train, test])
    assert len(both.unique(dim=0)) == 113**2 and abs(len(train) / 113**2 - 0.3) < 1e-3


def test_recipes_are_deterministic():
    for recipe in (grokking.grokked, grokking.leaky):
        one, two = (recipe(seed=3, steps=2).model.state_dict() for _ in range(2))
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_shipped_models_are_what_their_cards_say():
    loaded = models.load("grokking-113")
    _, test = grokking.split()
    assert loaded.tokenizer is None and loaded.card["n_params"] == sum(p.numel() for p in loaded.model.parameters())
    assert grokking.accuracy(loaded.model, test) == pytest.approx(loaded.card["measured"]["test_accuracy"], abs=1e-3)
    leaky = models.load("leaky-113").model
    ab = grokking.pairs()[::50]
    shown = (grokking.sums(ab) + 1) % 113
    answers = grokking.logits(leaky, grokking.leaky_tokens(ab, shown), grokking.LEAKY_POSITION).argmax(-1)
    assert float((answers == shown).float().mean()) > 0.95  # it copies
