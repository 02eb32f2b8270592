"""Models load by name, offline, and are what their cards say."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from labs_src import models, paths
from labs_src.language import markov
from labs_src.models.recipes import measure


def test_names_and_cards():
    assert {"induction-1l", "induction-2l", "mini-prenorm"} <= set(models.names())
    for name in models.names():
        card = models.describe(name)
        assert card["licence"] == "MIT" and card["origin"] and card["recipe"]["command"]
        assert set(card["measured"]) == set(card["tolerance"])
        listed = {p.name for p in (paths.DATA / "models" / name).iterdir()} - {"card.json"}
        assert listed == set(card["files"])


def test_unknown_name_says_what_exists():
    with pytest.raises(ValueError, match=r"no model 'induction-2'. Did you mean 'induction-2l'\? Shipped models: "):
        models.load("induction-2")


def test_names_need_no_torch():
    code = "import sys; from labs_src import models; models.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=paths.ROOT)


@pytest.mark.parametrize("name", ["induction-2l", "induction-1l"])
def test_attention_only_models_have_their_properties(name):
    loaded = models.load(name)
    assert sum(p.numel() for p in loaded.model.parameters()) == loaded.card["n_params"]
    found = measure.properties(loaded.model)
    for key, value in loaded.card["measured"].items():
        assert found[key] == pytest.approx(value, abs=2e-3), key


def test_checkpoints_run_from_the_start_to_the_final_weights():
    loaded = models.load("induction-2l")
    steps, last = [], None
    tokens = measure.eval_tokens(batch=8)
    induction = []
    for step, model in loaded.checkpoints():
        steps.append(step)
        induction.append(max(measure.scores(model, tokens)["induction"][1]))
        last = model
    assert steps == loaded.card["checkpoint_steps"] and len(steps) >= 10
    assert induction[0] < 0.1 and induction[-1] > 0.8
    torch.testing.assert_close(last.W_E, loaded.model.W_E, atol=2e-3, rtol=2e-3)  # float16


def test_bridge_equals_hugging_face_and_the_tokenizer_fits(monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a network look-up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded = models.load("mini-prenorm")
    from transformers import AutoTokenizer, GPT2LMHeadModel

    reference = GPT2LMHeadModel.from_pretrained(loaded.path).eval()
    tokens = markov.markov_batch(4, 64, 1)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens), reference(tokens).logits, atol=1e-5, rtol=1e-5)
    shipped = AutoTokenizer.from_pretrained(loaded.path)
    assert shipped("ba zul")["input_ids"] == loaded.tokenizer("ba zul")["input_ids"]
    assert loaded.card["measured"]["markov_loss"] >= loaded.card["measured"]["markov_entropy"] - 0.02
