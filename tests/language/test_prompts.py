"""Prompts ask what they say and hold the right answer."""

from __future__ import annotations

import pytest
import torch

from labs_src.language import corpus, prompts
from labs_src.language.words import world


@pytest.mark.parametrize("clutter", prompts.CLUTTERS)
@pytest.mark.parametrize("fact", ["capital", "currency"])
def test_facts(fact, clutter):
    p = prompts.facts(fact, clutter, repeats=2, seed=3)
    known = world(fact)
    assert len(p) == 2 * len(known) and p.ids.shape[1] <= corpus.LENGTH
    assert (p.answer != p.wrong).all()
    for i, country in enumerate([*known, *known]):
        words = corpus.decode(p.ids[i, : int(p.last[i]) + 1])
        at = len(words) - 1 - words[::-1].index(country)
        assert words[at - 2 : at] == [fact, "of"] and corpus.decode(p.answer[i : i + 1]) == [known[country]]
        assert fact != "capital" or known[country] not in words  # the clutter does not give it away
    assert torch.equal(p.ids, prompts.facts(fact, clutter, repeats=2, seed=3).ids)
    assert clutter == "none" or not torch.equal(p.ids, prompts.facts(fact, clutter, repeats=2, seed=4).ids)


@pytest.mark.parametrize("clutter", [0, 12])
def test_retrieval(clutter):
    p = prompts.retrieval(40, clutter)
    assert p.ids.shape[1] <= corpus.LENGTH
    for i in range(40):
        words = corpus.decode(p.ids[i, : int(p.last[i]) + 1])
        holder = {words[4]: words[1], words[9]: words[6], words[14]: words[11]}
        assert holder[words[-2]] == corpus.decode(p.answer[i : i + 1])[0]
        assert corpus.decode(p.wrong[i : i + 1])[0] in set(holder.values()) - {holder[words[-2]]}


def test_names_and_nonce():
    p = prompts.names(30)
    for i in range(30):
        words = corpus.decode(p.ids[i, : int(p.last[i]) + 1])
        pair = {words[2], words[4]}
        assert pair == {corpus.decode(p.answer[i : i + 1])[0], corpus.decode(p.wrong[i : i + 1])[0]}
        assert words[10] == corpus.decode(p.wrong[i : i + 1])[0] and len(pair) == 2
    p = prompts.nonce(20, names_in_between=8)
    for i in range(20):
        words = corpus.decode(p.ids[i, : int(p.last[i]) + 1])
        assert words[-2:] == words[3:5] and corpus.decode(p.answer[i : i + 1]) == words[5:6]


def test_accuracy_of_models_that_know_all_or_nothing():
    p = prompts.facts("capital", "facts")

    def knows(ids):
        out = torch.zeros(*ids.shape, corpus.vocab_size())
        for row, prompt in zip(out, ids):
            at = (p.ids == prompt).all(1).nonzero()[0, 0]
            row[p.last[at], p.answer[at]] = 1
            row[p.last[at], corpus.PAD] = 2  # a token that is no capital
        return out

    assert p.accuracy(knows) == 0 and p.accuracy(knows, among=prompts.fact_ids("capital")) == 1


def test_messages():
    with pytest.raises(ValueError, match="no clutter 'noise'; there are: none"):
        prompts.facts("capital", "noise")
    with pytest.raises(ValueError, match='use "capital" or "currency"'):
        prompts.facts("continent")
