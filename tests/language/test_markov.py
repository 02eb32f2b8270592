"""The synthetic text is what its description says, and its entropy is exact."""

from __future__ import annotations

import math

import pytest
import torch

from labs_src.language import markov


def test_names_are_distinct_and_decode():
    assert len(markov.TOKENS) == markov.VOCAB == len(set(markov.TOKENS))
    assert markov.TOKENS[markov.BOS] == "<bos>"
    assert markov.decode(torch.tensor([[0, 1], [2, 127]])) == ["<bos>", "ba", "be", markov.TOKENS[127]]
    with pytest.raises(ValueError, match=r"outside 0\.\.127"):
        markov.decode([128])


def test_successors_are_distinct_and_balanced():
    table = markov.successors()[1:]
    assert table.shape == (127, 4)
    for i, row in enumerate(table.tolist(), start=1):
        assert len(set(row)) == 4 and i not in row and 0 not in row
    assert torch.allclose(markov.transition_matrix().sum(0), torch.ones(127, dtype=torch.float64))


def test_markov_text_follows_its_rule():
    x = markov.markov_batch(200, 64, 3)
    table = markov.successors()
    assert (x[:, 0] == markov.BOS).all() and (x[:, 1:] > 0).all()
    assert (table[x[:, 1]] == x[:, 2, None]).any(-1).all()
    from_back = (table[x[:, 1:-2]] == x[:, 3:, None]).any(-1)
    from_current = (table[x[:, 2:-1]] == x[:, 3:, None]).any(-1)
    assert (from_back | from_current).all()
    # a successor of the other kind is also possible by chance: 0.3 * 4/127 and 0.7 * 4/127
    share = from_back.double().mean().item()
    assert share == pytest.approx(0.7 + 0.3 * 4 / 127, abs=0.02)


def test_same_seed_same_text_and_a_generator_moves_on():
    assert torch.equal(markov.markov_batch(3, 20, 5), markov.markov_batch(3, 20, 5))
    assert not torch.equal(markov.markov_batch(3, 20, 5), markov.markov_batch(3, 20, 6))
    g = torch.Generator().manual_seed(5)
    first = markov.markov_batch(3, 20, g)
    assert torch.equal(first, markov.markov_batch(3, 20, 5))
    assert not torch.equal(first, markov.markov_batch(3, 20, g))


def test_repeated_batch_repeats_distinct_tokens_with_varying_period():
    x = markov.repeated_batch(300, 64, 1)[:, 1:]
    periods = []
    for row in x.tolist():
        period = next(p for p in range(1, 64) if row[p] == row[0])
        assert len(set(row[:period])) == period
        assert all(row[i] == row[i - period] for i in range(period, 63))
        periods.append(period)
    assert min(periods) == markov.MIN_BLOCK and max(periods) == markov.MAX_BLOCK


def test_repeated_tokens():
    x = markov.repeated_tokens(50, 31, 0)
    assert x.shape == (50, 63) and (x[:, 0] == markov.BOS).all()
    assert torch.equal(x[:, 1:32], x[:, 32:])
    assert all(len(set(row)) == 31 for row in x[:, 1:32].tolist())
    with pytest.raises(ValueError, match=r"block_len must be 1\.\.127"):
        markov.repeated_tokens(1, 128, 0)


def test_entropy_against_monte_carlo():
    """The true probabilities of sampled text give the exact entropy, position by position."""
    seq_len, batch = 12, 4000
    x = markov.markov_batch(batch, seq_len, 9)
    s = torch.zeros(128, 128, dtype=torch.float64)
    s[1:, 1:] = markov.transition_matrix()
    rows = torch.arange(batch)
    surprise = [torch.full((batch,), math.log(127), dtype=torch.float64)]
    surprise.append(-s[x[:, 1], x[:, 2]].log())
    for t in range(3, seq_len):
        p = 0.7 * s[x[:, t - 2]] + 0.3 * s[x[:, t - 1]]
        surprise.append(-p[rows, x[:, t]].log())
    sampled = torch.stack(surprise, 1)
    exact = markov.entropy_by_position(seq_len)
    error = sampled.std(0) / batch**0.5
    assert exact.shape == (seq_len - 1,)
    assert ((sampled.mean(0) - exact).abs() < 5 * error + 1e-9).all()
    assert markov.entropy() == pytest.approx(float(exact[-1]), abs=0.02)


def test_entropy_bounds():
    """A mixture of two lists of four is at least one list's entropy and at most mixing entropy more."""
    mixing = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    assert math.log(4) < markov.entropy() <= math.log(4) + mixing


def test_tokenizer_round_trip(tmp_path):
    from transformers import PreTrainedTokenizerFast

    markov.tokenizer().save_pretrained(tmp_path)
    tok = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    ids = tok("ba be zul")["input_ids"]
    assert ids == [0, 1, 2, markov.TOKENS.index("zul")]
    assert tok.decode(ids[1:]) == "ba be zul" and len(tok) == markov.VOCAB
