"""The writing side: formulas by brute force, parity with the model, and circuits that were written."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import ndcg_score

from labs_src import models
from labs_src.circuits import bases, features, folding, writing
from labs_src.language import corpus
from labs_src.models.planted import probe, ship
from labs_src.models.planted.circuits import Circuit


@pytest.fixture(scope="module")
def mini():
    return models.load("mini-gemma")


@pytest.fixture(scope="module")
def seen(mini):
    return writing.look(mini.model, corpus.sequences("validation", 2, seed=5).ids[:, :24])


@pytest.mark.parametrize("layer", range(6))
def test_heads_add_up_to_what_attention_wrote(mini, seen, layer):
    ids = corpus.sequences("validation", 2, seed=5).ids[:, :24]
    _, cache = mini.model.run_with_cache(ids, names_filter=f"blocks.{layer}.hook_attn_out")
    folded = folding.fold(mini.model, layer)
    total = sum(writing.head_write(seen[layer], folded, h) for h in range(folded.n_heads))
    assert torch.allclose(total, cache[f"blocks.{layer}.hook_attn_out"], atol=1e-4)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_prediction_is_the_sum_over_keys(mini, seen, bias, cosine):
    layer, head, t = 3, 2, 17
    s, folded = seen[layer], folding.fold(mini.model, layer)
    basis = bases.from_dictionary(mini.dictionaries[bases.entering(layer)])
    W_enc = mini.dictionaries[bases.leaving(layer)].W_enc
    W2F = features.writes(folded, head, basis, W_enc.T, cosine=cosine)
    b_row = features.writes(folded, head, basis.bias[None], W_enc.T, cosine=cosine)[0]
    expected = torch.zeros(W_enc.shape[1])
    for key in range(t + 1):
        rms = (s.x[1, key].pow(2).mean() + s.eps).sqrt()
        code = basis.encode(s.x[1, key]) / rms
        expected += s.pattern[1, head, t, key] * (code @ W2F + (b_row / rms if bias else 0))
    if not cosine:
        expected = expected / s.post_rms[1, t]
    got = writing.predicted_change(s, folded, head, basis, W_enc.T, bias=bias, cosine=cosine)
    assert torch.allclose(got[1, t], expected, atol=2e-4 * float(expected.abs().max()))


def test_with_a_basis_that_loses_nothing_the_prediction_is_the_write(mini, seen):
    layer, head = 2, 1
    folded = folding.fold(mini.model, layer)
    d = folded.W_O.shape[-1]
    axes = bases.Basis("axes", torch.eye(d) * d**0.5, torch.zeros(d), coder=lambda x: x / d**0.5)
    out = torch.randn(7, d, generator=torch.Generator().manual_seed(0))
    got = writing.predicted_change(seen[layer], folded, head, axes, out)
    assert torch.allclose(got, writing.head_write(seen[layer], folded, head) @ out.T, atol=1e-3)


def test_actual_change_is_the_difference_of_two_encodings(mini, seen):
    layer, head = 1, 0
    folded, d = folding.fold(mini.model, layer), mini.dictionaries[bases.leaving(layer)]
    s = seen[layer]
    got = writing.actual_change(s, folded, head, d.encode)
    expected = d.encode(s.leaving[0, 5]) - d.encode(
        s.leaving[0, 5] - s.z[0, 5, head] @ folded.W_O[head] / s.post_rms[0, 5]
    )
    assert torch.allclose(got[0, 5], expected, atol=1e-4)
    assert got.abs().sum() > 0


def test_agreement_of_a_change_with_itself_and_with_another():
    g = torch.Generator().manual_seed(0)
    a, other = torch.randn(5, 200, generator=g), torch.randn(5, 200, generator=g)
    same = writing.agreement(2 * a, a)
    assert same.jaccard == 1 and same.ndcg == pytest.approx(1) and same.spearman == pytest.approx(1)
    apart = writing.agreement(other, a)
    assert apart.jaccard < 0.15 and abs(apart.spearman) < 0.2
    assert writing.agreement(-a, a).spearman == pytest.approx(-1)
    assert apart.ndcg == pytest.approx(ndcg_score(a.abs().numpy(), other.abs().numpy(), k=20))


def test_few_changes_are_compared_with_as_many():
    actual = torch.zeros(1, 50)
    actual[0, [3, 7]] = torch.tensor([1.0, -2.0])
    predicted = torch.linspace(0, 0.5, 50)[None].clone()
    predicted[0, 3], predicted[0, 7] = 5.0, 4.0
    assert writing.agreement(predicted, actual).jaccard == 1


def test_tokens_at_which_nothing_changes_are_skipped_and_counted():
    a = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    a[1] = 0
    found = writing.agreement(a, a)
    assert (found.rows, found.skipped) == (3, 1)
    with pytest.raises(ValueError, match="at no token"):
        writing.agreement(torch.zeros(2, 5), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="shape"):
        writing.agreement(torch.zeros(2, 5), torch.zeros(2, 6))


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_writes_are_the_largest_changes_with_their_sign(sign):
    loaded = models.load("planted-orthonormal")
    truth, words = ship.read_truth(loaded.path)
    named = loaded.card["answer_key"]["circuits"]
    index = {name: i for i, name in enumerate(truth.names)}
    circuits = [Circuit(**(c | {k: index[c[k]] for k in ("query", "key", "writes") if k in c})) for c in named]
    circuit = next(c for c in circuits if c.kind == "attend" and c.layer == 1 and c.sign == sign and c.distance is None)
    import numpy as np

    tokens, _, _ = probe.prompts(circuit, circuits, words, np.random.default_rng(0), n=4)
    seen = writing.look(loaded.model, tokens, [circuit.layer])[circuit.layer]
    folded, d = folding.fold(loaded.model, circuit.layer), loaded.dictionaries[bases.entering(circuit.layer)]
    change = writing.predicted_change(seen, folded, circuit.head, bases.from_dictionary(d), d.W_enc.T)[:, -1]
    assert (change.abs().argmax(-1) == circuit.writes).all()
    assert (change[:, circuit.writes].sign() == sign).all()
    actual = writing.actual_change(seen, folded, circuit.head, lambda x: x @ d.W_enc)[:, -1]
    assert (actual.abs().argmax(-1) == circuit.writes).all() and (actual[:, circuit.writes].sign() == sign).all()
    assert torch.allclose(change[:, circuit.writes], actual[:, circuit.writes], rtol=0.15)
