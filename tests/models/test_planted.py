"""Planted circuits act, and only where the card says: seen by running the model, beside controls."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from labs_src import models
from labs_src.models import planted
from labs_src.models.planted import Circuit, probe, ship, text

NAMES = ["planted-orthonormal", "planted-packed"]
N_FEATURES = {"planted-orthonormal": 126, "planted-packed": 504}
# Weakest attention, written feature and strongest control that a circuit may have: packed features overlap.
FLOORS = {"planted-orthonormal": (0.9, 1.0, 0.15), "planted-packed": (0.4, 0.6, 0.15)}


@cache
def shipped(name):
    """Model (by transformers alone), circuits as the card lists them, features, vocabulary, card."""
    from transformers import Gemma2ForCausalLM

    card = models.describe(name)
    folder = models._folder(name)
    features, words = ship.read_truth(folder)
    model = Gemma2ForCausalLM.from_pretrained(folder, attn_implementation="eager").eval().requires_grad_(False)
    index = {n: i for i, n in enumerate(features.names)}
    rows = [{k: index.get(v, v) if k in ("query", "key", "writes") else v for k, v in c.items()} for c in
            card["answer_key"]["circuits"]]  # fmt: skip
    return model, [Circuit(**row) for row in rows], features, words, card


@cache
def acted(name):
    model, circuits, features, words, _ = shipped(name)
    return probe.acts(model, circuits, features, words, seed=1)  # other prompts than the card's


@cache
def orthonormal():
    features = planted.orthonormal()
    return features, planted.standard(features)


def of_kind(name, kind):
    return [c for c in shipped(name)[1] if c.kind == kind]


@pytest.mark.parametrize("name", NAMES)
def test_loads_by_name_and_equals_transformers(name):
    loaded = models.load(name)
    reference = shipped(name)[0]
    tokens = probe.repeated(shipped(name)[3], 20, n=2)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens), reference(tokens).logits, atol=1e-4, rtol=0)
    words = [loaded.tokenizer.convert_ids_to_tokens(i) for i in tokens[0, 1:].tolist()]
    assert loaded.tokenizer(" ".join(words))["input_ids"] == tokens[0].tolist()
    assert set(loaded.dictionaries) == set(loaded.labels) == set(ship.HOOKS)
    assert loaded.dictionaries[ship.HOOKS[0]].d_sae == len(loaded.labels[ship.HOOKS[0]]) == N_FEATURES[name]
    with pytest.raises(KeyError, match=r"no dictionary at 'blocks.7"):
        loaded.dictionaries["blocks.7.hook_resid_post"]


@pytest.mark.parametrize("name", NAMES)
def test_every_attend_circuit_moves_attention_and_writes(name):
    least, wrote, control = FLOORS[name]
    attend = [a for a in acted(name) if a.circuit.kind == "attend"]
    assert len(attend) == 5 * 6 + 2
    for a in attend:
        assert a.attention > least and a.control < control and a.elsewhere < 0.25, a
        assert a.written * a.circuit.sign > wrote, a
        assert a.side_effect < abs(a.written), a


@pytest.mark.parametrize("name", NAMES)
def test_like_to_like_attracts_and_repulsion_repels(name):
    for a in acted(name):
        if a.circuit.kind == "like-to-like":
            assert a.log_ratio > 5 and a.elsewhere < 0.25, a
        if a.circuit.kind == "repulsion":
            assert a.log_ratio < -5 and a.elsewhere < 0.25, a


@pytest.mark.parametrize("name", NAMES)
def test_tetrads_are_attracted_on_the_diagonal_and_repelled_off_it(name):
    model, circuits, _, words, _ = shipped(name)
    assert len(of_kind(name, "tetrad")) == 10
    for c in of_kind(name, "tetrad"):
        (aa, ab), (ba, bb) = probe.tetrad(model, c, circuits, words)
        assert min(aa, bb) > 5 and max(ab, ba) < -5, c


@pytest.mark.parametrize("name", NAMES)
def test_a_circuit_with_a_distance_acts_at_that_distance_alone(name):
    model, circuits, _, words, _ = shipped(name)
    for c in (c for c in circuits if c.distance):
        distances = [1, c.distance - 1, c.distance, c.distance + 1, 2 * c.distance, 25]
        found = dict(zip(distances, probe.by_distance(model, c, circuits, words, distances)))
        assert found.pop(c.distance) > FLOORS[name][0] and max(found.values()) < 0.1, c


@pytest.mark.parametrize("name", NAMES)
def test_previous_token_and_induction_heads_work_as_a_pair(name):
    model, _, features, words, _ = shipped(name)
    tokens = probe.repeated(words, 20, seed=5)
    assert probe.previous_score(model, 0, 0, tokens) > 0.95
    assert probe.previous_score(model, 0, 1, tokens) < 0.2
    assert probe.induction_score(model, 1, 0, tokens) > 0.95
    assert probe.induction_score(model, 1, 1, tokens) < 0.1, "the head that the card calls empty"
    assert probe.induction_score(model, 1, 0, tokens, without=[(0, 0)]) < 0.1, "no induction without its partner"
    assert probe.induction_score(model, 1, 0, tokens, without=[(0, 1)]) > 0.9, "another head is no partner"
    assert probe.next_class_accuracy(model, tokens, features, words) > 0.9
    assert probe.next_class_accuracy(model, tokens, features, words, without=[(0, 0)]) < 0.2


def test_a_chain_runs_over_two_layers():
    model, circuits, features, words, _ = shipped("planted-orthonormal")
    first, second = (next(c for c in circuits if (c.layer, c.head, c.kind) == at) for at in
                     ((0, 1, "attend"), (1, 2, "attend")))  # fmt: skip
    assert second.query == first.writes
    used = probe.used_by(circuits, 0, 1) | probe.used_by(circuits, 1, 2)
    rng = np.random.default_rng(0)

    def holding(feature):
        return [t for t in words.with_feature(feature) if not (used - {feature}) & set(words.features[t].tolist())]

    tokens = torch.tensor(rng.choice(words.without(used), (8, 24)))
    tokens[:, 0], tokens[:, 3] = text.BOS, torch.tensor(rng.choice(holding(second.key), 8))
    tokens[:, -1] = torch.tensor(rng.choice(holding(first.query), 8))
    control = tokens.clone()  # the same without what makes the first circuit write the second one's query
    tokens[:, 12] = torch.tensor(rng.choice(holding(first.key), 8))
    seen = probe.observe(model, torch.cat([tokens, control]))
    to_key, written = seen.pattern[1][:, 2, -1, 3], seen.stream[2][:, -1] @ features.directions[second.writes]
    assert to_key[:8].mean() > 0.9 and to_key[8:].mean() < 0.2
    assert (written[:8] - written[8:]).mean() > 1.0


def test_the_local_layer_ends_at_its_window_and_the_global_one_does_not():
    model, circuits, _, words, card = shipped("planted-orthonormal")
    assert card["architecture"]["window"] == 32
    local, world = (next(c for c in circuits if c.layer == i and c.kind == "attend") for i in (0, 1))
    assert max(probe.by_distance(model, local, circuits, words, [32, 60])) < 1e-6
    assert min(probe.by_distance(model, local, circuits, words, [31])) > 0.9
    assert min(probe.by_distance(model, world, circuits, words, [31, 60, 120])) > 0.9


def test_a_circuit_that_is_not_planted_does_not_act():
    features, circuits = orthonormal()
    left_out = [c for c in circuits if c.kind == "attend"][::4]
    model = planted.build([c for c in circuits if c not in left_out], features, noise=0.2)
    found = {a.circuit: a for a in probe.acts(model.model, circuits, features, model.words)}
    for c, a in found.items():
        if c in left_out:
            assert a.attention < 0.3 and abs(a.written) < 0.4, c
        elif c.kind == "attend":
            assert a.attention > 0.9, c


def test_noise_silences_circuits():
    features, circuits = orthonormal()

    def attention(noise):
        model = planted.build(circuits, features, noise=noise)
        found = probe.acts(model.model, circuits, features, model.words)
        return np.mean([a.attention for a in found if a.circuit.kind == "attend"])

    assert attention(0.0) > 0.95 and attention(1.0) < 0.5


def test_spreading_the_gains_hardly_changes_the_function():
    features, circuits = orthonormal()
    plain, spread = (planted.build(circuits, features, noise=0.2, gain_spread=s) for s in (0.0, 1.0))
    gain = spread.model.model.layers[1].input_layernorm.weight
    assert gain.std() > 0.3 and plain.model.model.layers[1].input_layernorm.weight.std() == 0
    tokens = probe.repeated(plain.words, 20, n=2)
    logits = plain.model(tokens).logits  # not to rounding: a post-norm divides by a size that its gain's spread changes
    torch.testing.assert_close(logits, spread.model(tokens).logits, atol=0.05, rtol=0)
    spread.model.model.layers[1].input_layernorm.weight.copy_(plain.model.model.layers[1].input_layernorm.weight)
    assert (logits - spread.model(tokens).logits).abs().max() > 0.5  # a gain without its weights does change it


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_model():
    features, circuits = orthonormal()
    a, b, c = (planted.build(circuits, features, noise=0.1, seed=s).model.state_dict() for s in (3, 3, 4))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["model.embed_tokens.weight"], c["model.embed_tokens.weight"])
    assert planted.standard(features, 3) == planted.standard(features, 3) != planted.standard(features, 4)


def cells(name, table, layer, head):
    """Cell to strength of a head's planted cells, from the card."""
    entries = [e for e in shipped(name)[4]["answer_key"][table] if (e["layer"], e["head"]) == (layer, head)]
    names = ("query", "key") if table == "qk" else ("reads", "writes")
    return {tuple(e[n] for n in names): e["strength"] for e in entries}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("layer", "head"), [(layer, head) for layer in range(2) for head in range(4)])
def test_the_answer_key_is_what_stands_out_in_the_tables(name, layer, head):
    model, _, features, _, _ = shipped(name)
    block, d_head = model.model.layers[layer], 64
    basis = features.directions * features.mean.numel() ** 0.5
    before, after = 1 + block.input_layernorm.weight, 1 + block.post_attention_layernorm.weight
    one, shared = (slice(i * d_head, (i + 1) * d_head) for i in (head, head // 2))
    q, k, v = (getattr(block.self_attn, f"{n}_proj").weight * before for n in "qkv")
    affinity = (basis @ q[one].T) @ (basis @ k[shared].T).T * d_head**-0.5
    write = (basis @ v[shared].T) @ (block.self_attn.o_proj.weight * after[:, None])[:, one].T @ features.directions.T
    for table, kind in ((affinity, "qk"), (write, "ov")):
        planted_cells = cells(name, kind, layer, head)
        top = table.flatten().abs().topk(len(planted_cells)).indices.tolist()
        assert {(i // len(features), i % len(features)) for i in top} == set(planted_cells)
        for (i, j), strength in planted_cells.items():
            assert np.sign(strength) == np.sign(table[i, j].item())
            if kind == "qk":
                assert table[i, j].item() == pytest.approx(strength, rel=0.35)


def test_the_dictionary_reads_what_tokens_hold():
    model, _, _, words, _ = shipped("planted-orthonormal")
    loaded = models.attached.dictionaries(models._folder("planted-orthonormal"), models.describe("planted-orthonormal"))
    dictionary = loaded["blocks.0.hook_resid_pre"]
    tokens = torch.arange(len(text.SPECIAL), 300)[None]
    fired = dictionary.encode(probe.observe(model, tokens[:, :100]).stream[0] * 128**0.5) > 0
    held = torch.zeros_like(fired[0])
    held.scatter_(1, words.features[tokens[0, :100]], True)
    assert (fired[0] == held).float().mean() > 0.999 and (fired[0] & held).sum() / held.sum() > 0.99


@pytest.mark.parametrize(
    ("circuit", "says"),
    [
        (Circuit("attract", 0, 0, 50, 51), "there is no kind 'attract'"),
        (Circuit("attend", 2, 0, 50, 51), "layers are 0 to 1, heads 0 to 3"),
        (Circuit("attend", 0, 0, 50), "needs a key feature"),
        (Circuit("attend", 0, 0, 50, 126), "key 126 is no feature; there are 126"),
        (Circuit("attend", 0, 0, 50, 51, strength=500.0), "at most 300"),
        (Circuit("attend", 0, 0, 50, 51, distance=32), "from 1 to 31 in this layer"),
        (Circuit("tetrad", 0, 0, 50, 51, distance=3), "only 'attend' takes a distance"),
    ],
)
def test_a_circuit_that_cannot_be_meant_is_refused_in_one_sentence(circuit, says):
    with pytest.raises(ValueError, match=says):
        planted.build([circuit], orthonormal()[0])


def test_too_much_for_one_group_of_heads_is_refused():
    features = orthonormal()[0]
    many = [Circuit("attend", 0, 2, 41 + i, 42 + i) for i in range(25)]
    with pytest.raises(planted.NoRoom, match=r"layer 0, key-value group 1: all slow dimensions .* move a circuit"):
        planted.build(many, features)
    two = [Circuit("previous", 0, 0, strength=35.0), Circuit("attend", 0, 1, 50, 51, distance=4)]
    with pytest.raises(planted.NoRoom, match="both need its fast pairs"):
        planted.build(two, features)
    with pytest.raises(ValueError, match="at least 699 tokens"):
        text.vocabulary(planted.packed(504, steps=1), size=600)
    with pytest.raises(ValueError, match="noise is a ratio"):
        planted.build([], features, noise=-1)
