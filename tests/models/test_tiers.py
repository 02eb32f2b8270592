"""Tiers: the same questions answered on both, without loading what is not here."""

from __future__ import annotations

import pytest
import torch

from labs_src.language import corpus, english
from labs_src.models import tiers


def test_mini_tier():
    tier = tiers.of("mini")
    loaded = tier.load()
    assert loaded.name == "mini-gemma" and tier.text(loaded, 3).shape == (3, corpus.LENGTH)
    bases = tier.bases(loaded)
    assert list(bases) == list(range(6)) and bases[2] is bases[2]
    assert len(bases[0]) == tier.width and bases[0].name == "blocks.0.hook_resid_pre"
    assert not torch.equal(tier.bases(loaded, "/b")[4].bias, bases[4].bias)
    with pytest.raises(KeyError, match="layers 0 to 5"):
        bases[6]
    assert tier.must("> 0.9") == "> 0.9" and tiers.of("gemma").must("> 0.9") is None


def test_unknown_tier():
    with pytest.raises(ValueError, match="'mini' or 'gemma'"):
        tiers.of("big")


def test_english_windows():
    def tokenizer(text):
        return {"input_ids": [2, *(ord(c) for c in text)]}

    ids = english.token_ids(tokenizer, 8, length=900)
    assert ids.shape == (8, 900) and (ids[:, 0] == 2).all() and len(ids.unique(dim=0)) == 8
    with pytest.raises(ValueError, match="8 paragraphs"):
        english.token_ids(tokenizer, 9)
