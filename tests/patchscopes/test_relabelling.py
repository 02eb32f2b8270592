"""Causal labels against observational ones, on text whose truth is known and drops that were planted."""

from __future__ import annotations

import pytest
import torch

from labs_src.language import corpus
from labs_src.patchscopes import relabelling
from labs_src.patchscopes.relabelling import Claim


@pytest.fixture(scope="module")
def text():
    return corpus.sequences("validation", 80, seed=5)


def planted(text, where, noise=0.0):
    g = torch.Generator().manual_seed(0)
    drop = where.float() * (1 + 0.2 * torch.rand(where.shape, generator=g)) + noise * torch.randn(
        where.shape, generator=g
    )
    drop[:, 0] = 0
    return drop


def test_flags_the_label_that_covers_little_of_the_loss_and_finds_the_right_one(text):
    arg, noun = text.is_role("arg"), text.is_role("thing")
    drops = torch.stack([planted(text, arg, 0.01), planted(text, noun, 0.01)], -1)
    claims = [Claim(1, "role: var", 3, 4), Claim(2, "role: thing", 3, 5)]
    table = relabelling.report(text, drops, torch.tensor([2.0, 2.0]), claims)
    assert table.disagrees.tolist() == [True, False]
    assert table.causal.tolist() == ["role: arg", "role: thing"]
    assert table.covered[0] < 0.05 and table.covered[1] > 0.9 and "arg" in table.evidence[0]


def test_a_target_that_loses_nothing_accuses_nobody(text):
    g = torch.Generator().manual_seed(1)
    noise = 0.01 * torch.randn(*text.ids.shape, 1, generator=g)
    noise[:, 0] = 0
    table = relabelling.report(text, noise, torch.tensor([5.0]), [Claim(1, "role: var", 3, 4)])
    assert table.tokens[0] == 0 and not table.disagrees[0] and table.causal[0] == ""


def test_coverage_leaves_gains_out():
    drop, label = torch.tensor([[0.0, 3.0, 1.0, -9.0]]), torch.tensor([[False, True, False, True]])
    assert relabelling.coverage(drop, label) == pytest.approx(0.75)
    assert relabelling.coverage(-drop.clamp(min=0), label) == 0
