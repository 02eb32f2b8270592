"""mini-gemma: loads as what it is, equals Hugging Face, can do what its card says; its recipe is deterministic."""

from __future__ import annotations

import socket

import pytest
import torch

from labs_src import models
from labs_src.language import chat, corpus, prompts
from labs_src.models.recipes import gemma, gemma_measure

FEW = 48
"""Sequences and prompts in these tests; the card's numbers are from more."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network look-up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def base():
    return models.load("mini-gemma")


@pytest.fixture(scope="module")
def tuned():
    return models.load("mini-gemma-it")


def hugging_face(loaded):
    from transformers import Gemma2ForCausalLM

    return Gemma2ForCausalLM.from_pretrained(loaded.path, attn_implementation="eager").eval()


def test_it_is_a_gemma_2(base):
    config = hugging_face(base).config
    assert config.model_type == "gemma2" and config.num_hidden_layers >= 6
    assert {"sliding_attention", "full_attention"} == set(config.layer_types)
    assert config.num_key_value_heads < config.num_attention_heads
    assert config.attn_logit_softcapping == 50 and config.final_logit_softcapping == 30
    assert config.tie_word_embeddings and config.vocab_size == corpus.vocab_size()
    assert (base.path / "model.safetensors").stat().st_size < 8e6


@pytest.mark.parametrize("name", ["base", "tuned"])
def test_bridge_equals_hugging_face(name, request):
    loaded = request.getfixturevalue(name)
    ids = corpus.token_ids("validation", 4, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids), hugging_face(loaded)(ids).logits, atol=1e-4, rtol=0)


def test_the_shipped_tokenizer_is_that_of_the_language(base):
    from transformers import AutoTokenizer

    shipped = AutoTokenizer.from_pretrained(base.path)
    text = corpus.sequences("validation", 3)
    for i in range(3):
        assert shipped(text.text(i))["input_ids"] == text.ids[i].tolist() == base.tokenizer(text.text(i))["input_ids"]


def test_facts(base):
    for fact in ("capital", "currency"):
        assert prompts.facts(fact).accuracy(base.model, prompts.fact_ids(fact)) >= 0.95
    values = torch.cat([prompts.fact_ids(fact) for fact in ("capital", "currency", "continent")])
    found = prompts.held_facts(seed=8).accuracy(base.model, values)
    assert found == pytest.approx(base.card["measured"]["held_facts"], abs=0.06) and found >= 0.9


def test_induction_on_nonce_words(base):
    found = gemma_measure.induction(base.model, corpus.sequences("held", FEW, seed=8))
    assert found["induction"] >= 0.8 and base.card["measured"]["induction"] >= 0.8


def test_head_scores_are_what_the_attention_pattern_says(base):
    model, text = hugging_face(base), corpus.sequences("held", 3, seed=5)
    found = gemma_measure.head_scores(model, text)
    pattern = model(text.ids, output_attentions=True).attentions[5].detach()
    total, n = torch.zeros(4), 0
    for row, at in text.inside_repeat().nonzero().tolist():
        total += pattern[row, :, at - 1, int(text.depends[row, at])]
        n += 1
    assert found["induction"][5] == pytest.approx((total / n).tolist(), abs=1e-5)
    assert max(max(row) for row in base.card["heads"]["induction"]) > 0.5


def test_a_model_that_knows_nothing_fails_the_same_measures():
    model = gemma.new_model(3).eval()
    text = corpus.sequences("held", 12, seed=8)
    assert gemma_measure.induction(model, text)["induction"] < 0.1
    assert gemma_measure.by_reason(model, text)["capital"] < 0.1
    assert gemma_measure.text_loss(model, text)["loss_above_entropy"] > 4


def test_loss_and_entropy(base):
    found = gemma_measure.text_loss(base.model, corpus.sequences("validation", FEW, seed=8))
    assert found["loss_above_entropy"] == pytest.approx(base.card["measured"]["loss_above_entropy"], abs=0.04)
    assert found["loss"] > found["entropy"] > 0


def test_retrieval_under_clutter(base):
    card = base.card["measured"]
    for clutter in (0, 6):
        found = prompts.retrieval(FEW, clutter, seed=8).accuracy(base.model)
        assert found == pytest.approx(card[f"retrieval_{clutter}"], abs=0.2)
    for clutter in ("facts", "words"):
        found = prompts.facts("capital", clutter, seed=8).accuracy(base.model, prompts.fact_ids("capital"))
        assert found == pytest.approx(card[f"capital_{clutter}"], abs=0.15)
    assert card["capital_facts"] >= 0.95


def test_gains_are_spread_and_the_function_is_kept(base):
    model = hugging_face(base)
    ids = corpus.token_ids("validation", 2, seed=2)
    spread = [1 + layer.input_layernorm.weight for layer in model.model.layers]
    with torch.no_grad():
        before = model(ids).logits
        gemma.spread_gains(model, undo=True)
        close = [1 + layer.input_layernorm.weight for layer in model.model.layers]
        torch.testing.assert_close(model(ids).logits, before, atol=1e-4, rtol=0)
    for wide, narrow in zip(spread, close):
        assert wide.abs().log().std() > 2 * narrow.abs().log().std()
    assert "spread after training" in base.card["norm_gains"]


def test_answers(base, tuned):
    found = gemma_measure.answers(tuned.model, n=12)
    assert found["answers"] >= 0.85
    assert gemma_measure.answers(base.model, n=12)["answers"] < found["answers"] - 0.2
    ids = chat.ask("what is the capital of France ?")
    assert corpus.decode(tuned.model(ids[None])[0, -1].argmax()[None]) == ["Paris"]


def test_the_recipe_is_deterministic():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = (gemma.train(seed=1, steps=2).model.state_dict() for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_spreading_gains_of_a_fresh_model_keeps_its_logits():
    model = gemma.new_model(2).eval()
    with torch.no_grad():
        for layer in model.model.layers:  # gains of 0 would hide a missing 1 +
            layer.input_layernorm.weight.normal_(0, 0.3)
            layer.pre_feedforward_layernorm.weight.normal_(0, 0.3)
        ids = corpus.token_ids("validation", 2)
        before = model(ids).logits
        gemma.spread_gains(model)
        torch.testing.assert_close(model(ids).logits, before, atol=1e-4, rtol=0)
        assert model.model.layers[0].input_layernorm.weight.std() > 0.5
