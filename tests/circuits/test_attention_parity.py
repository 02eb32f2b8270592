"""Folded weights, rotation, softcap, window and grouped queries together: whole patterns of transformers, rebuilt.

And where transformer-lens has the same quantities (QK and OV of one head), against those.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from gemmas import NAMES, gemma, text

from labs_src import models
from labs_src.circuits import features, folding, prediction, rope


def seen(model, ids):
    """Attention patterns of transformers and the input of each layer."""
    out = model(ids, output_attentions=True, output_hidden_states=True)
    return out.attentions, out.hidden_states


def pattern(x, folded, eps, pairing="halves"):
    """[batch, head, query, key] from the raw input of a layer."""
    y = x / folding.rms(x, eps)
    pos = torch.arange(x.shape[1])
    rows = []
    for h in range(folded.n_heads):
        q, k = y @ folded.W_Q[h], y @ folded.W_K[folded.kv(h)]
        q, k = (rope.rotate(z, pos, folded.theta, pairing) for z in (q, k))
        rows.append(folded.cap(q @ k.transpose(1, 2) * folded.scale))
    scores = torch.stack(rows, 1).masked_fill(~folded.allowed(len(pos)), float("-inf"))
    return scores.softmax(-1)


@pytest.mark.parametrize("name", NAMES)
def test_patterns_of_every_head(name):
    model = gemma(name)
    ids = text(model)
    patterns, inputs = seen(model, ids)
    kinds = set()
    for layer, wanted in enumerate(patterns):
        folded = folding.fold(model, layer)
        kinds.add(folded.window is None)
        got = pattern(inputs[layer], folded, model.config.rms_norm_eps)
        assert (got - wanted).abs().max() < 1e-4, f"layer {layer}"
    assert kinds == {True, False}, "no layer with a window, or none without"


@pytest.mark.parametrize("name", NAMES)
def test_each_convention_matters(name):
    """Negative controls: without the softcap, the window, the groups, or with the wrong scale, patterns differ."""
    model = gemma(name)
    ids = text(model)
    patterns, inputs = seen(model, ids)
    right = [folding.fold(model, layer) for layer in range(len(patterns))]
    wrong = {
        "scale": [replace(f, scale=f.scale * 1.3) for f in right],
        "window": [replace(f, window=f.window and f.window - 1) for f in right],
        "groups": [replace(f, W_K=f.W_K.flip(0)) for f in right],
        "gain": [folding.fold(model, f.layer, gain="gamma") for f in right],
    }
    if model.config.attn_logit_softcapping < 10:  # the trained models' logits hardly reach a cap of 50
        wrong["softcap"] = [replace(f, softcap=None) for f in right]
    eps = model.config.rms_norm_eps
    for what, folds in wrong.items():
        gap = max(float((pattern(inputs[i], f, eps) - patterns[i]).abs().max()) for i, f in enumerate(folds))
        assert gap > 1e-2, what


def test_grouped_queries_are_consecutive():
    folded = folding.fold(gemma("random"), 0)
    assert [folded.kv(h) for h in range(6)] == [0, 0, 1, 1, 2, 2]
    assert folded.allowed(12)[11].nonzero().flatten().tolist() == list(range(3, 12))  # nine keys, itself included


def test_softcap_is_tanh():
    folded = folding.fold(gemma("random"), 0)
    scores = torch.tensor([-50.0, -1.0, 0.0, 2.0, 80.0])
    torch.testing.assert_close(folded.cap(scores), 3 * torch.tanh(scores / 3))
    assert replace(folded, softcap=None).cap(scores) is scores


def test_qk_and_ov_are_those_of_transformer_lens():
    """TransformerBridge gives them without any norm, so they are compared with folds that fold nothing."""
    model = models.load("mini-gemma").model
    eye = torch.eye(model.cfg.d_model)
    for layer in (0, 3, 5):
        folded = folding.fold(model, layer, gain="none", post="none")
        for head in range(folded.n_heads):
            QK, OV = model.QK[layer, head].AB, model.OV[layer, head].AB
            got = features.affinity(folded, head, eye, cap=False) / folded.scale
            torch.testing.assert_close(got, QK, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(features.writes(folded, head, eye, cosine=False), OV, rtol=1e-4, atol=1e-4)
            pre = features.values(folded, head, eye) @ features.pre_outputs(folded, head, eye).T
            torch.testing.assert_close(pre, OV, rtol=1e-4, atol=1e-4)


def test_bridge_and_transformers_fold_the_same():
    bridge, hf = models.load("mini-gemma").model, gemma("mini-gemma")
    for layer in range(6):
        a, b = folding.fold(bridge, layer), folding.fold(hf, layer)
        assert torch.equal(a.W_Q, b.W_Q) and torch.equal(a.W_K, b.W_K)
        assert torch.equal(a.W_V, b.W_V) and torch.equal(a.W_O, b.W_O)
        assert (a.scale, a.softcap, a.theta, a.window) == (b.scale, b.softcap, b.theta, b.window)


def test_what_look_keeps_is_what_the_model_saw():
    bridge, hf = models.load("mini-gemma").model, gemma("mini-gemma")
    ids = text(hf, n=2, length=40)
    patterns, inputs = seen(hf, ids)
    for layer, found in prediction.look(bridge, ids).items():
        torch.testing.assert_close(found.x, inputs[layer], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.scores.softmax(-1), patterns[layer], rtol=1e-4, atol=1e-6)
