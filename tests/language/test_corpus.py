"""The mini language: same seed, same text; what it says about its tokens is true of the text; splits share nothing."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch

from labs_src.language import chat, corpus, grammar, templates
from labs_src.language.passages import DOMAINS, FACT_TEMPLATES, PASSAGES
from labs_src.language.words import NONCE, POOLS, world


@pytest.fixture(scope="module")
def text():
    return corpus.sequences("validation", 300, seed=1)


@pytest.fixture(scope="module")
def held():
    return corpus.sequences("held", 300, seed=1)


@pytest.fixture(scope="module")
def train():
    return corpus.sequences("train", 600)


def equal(a, b):
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("ids", "domain", "role", "depends", "why", "logp"))


def test_same_seed_same_text_whatever_is_asked_for():
    a, b = corpus.sequences("train", 6, seed=3), corpus.sequences("train", 6, seed=3)
    assert equal(a, b) and equal(a[4:6], corpus.sequences("train", 2, seed=3, start=4))
    assert torch.equal(a.ids, corpus.token_ids("train", 6, seed=3))
    assert not torch.equal(a.ids, corpus.sequences("train", 6, seed=4).ids)
    assert not torch.equal(a.ids, corpus.sequences("validation", 6, seed=3).ids)


def test_size_of_the_language(text):
    assert 500 <= corpus.vocab_size() <= 1000 and len(set(grammar.vocabulary())) == corpus.vocab_size()
    assert len(DOMAINS) >= 10
    assert {corpus.DOMAIN_NAMES[i] for i in text.domain.unique()} == set(corpus.DOMAIN_NAMES)
    assert text.ids.shape == (300, 128) and (text.ids[:, 0] == corpus.BOS).all()
    assert not (text.ids[:, 1:] <= 3).any()  # no <pad>, <eos>, <bos>, <unk> inside


def test_every_list_and_reason_is_used(text, train):
    for name in corpus.WHY_NAMES[1:]:
        assert train.is_why(name).any() or text.is_why(name).any(), name
    seen = set(torch.cat([train.role.unique(), text.role.unique()]).tolist())
    assert {corpus.role_names()[i] for i in seen} == set(corpus.role_names())


def test_repeats_repeat_and_dependencies_point_back(text):
    position = torch.arange(128).expand(300, 128)
    linked = text.depends >= 0
    assert (text.depends[linked] < position[linked]).all()
    assert (linked == (text.why > 0)).all()
    source = text.ids.gather(1, text.depends.clamp_min(0))
    same = text.is_why("repeat", "retrieve", "position", "other_name")
    assert (source[same] == text.ids[same]).all() and same.sum() > 1000
    passage = text.passage.gather(1, text.depends.clamp_min(0))
    assert (passage[linked] == text.passage[linked]).all()
    assert text.seen_before()[text.repeat].all()


def test_facts_are_true(text):
    for fact in ("capital", "currency", "continent"):
        known, found = world(fact), 0
        for row, at in text.is_why(fact).nonzero().tolist():
            words = text.words(row)
            assert known[words[int(text.depends[row, at])]] == words[at]
            found += 1
        assert found > 20
    for row, at in text.is_why("capital_of").nonzero().tolist():
        words = text.words(row)
        assert world("capital")[words[at]] == words[int(text.depends[row, at])]


def test_sums_tags_brackets_and_agreement(text):
    counted = dict.fromkeys(("sum", "close", "closes", "have"), 0)
    for row in range(len(text)):
        words = text.words(row)
        for at in range(1, 128):
            why, source = corpus.WHY_NAMES[text.why[row, at]], words[int(text.depends[row, at])]
            if why in counted:
                counted[why] += 1
            if why == "close":
                assert words[at] == source.replace("<", "</")
            elif why == "closes":
                assert (source, words[at]) in (("(", ")"), ('"', '"'))
            elif why == "have":
                assert words[at] == ("have" if source.endswith("s") else "has")
            elif why == "sum" and words[at - 1] == "=" and words[at - 3] == "+" and words[at - 4].isdigit():
                assert int(words[at]) == int(words[at - 2]) + int(words[at - 4])
    assert min(counted.values()) > 50


def test_entities_are_what_is_meant(text):
    """A pronoun means its person, a closing tag its tag; a capital is another thing than its country."""
    meant_before = text.entity.gather(1, text.depends.clamp_min(0))
    for why in ("she", "her", "close", "have", "repeat", "retrieve", "other_name"):
        where = text.is_why(why)
        assert where.any() and (meant_before[where] == text.entity[where]).all(), why
    for why in ("capital", "currency", "continent"):
        where = text.is_why(why)
        assert (text.entity[where] == text.ids[where]).all() and (meant_before[where] != text.entity[where]).all()
    assert (text.entity[text.is_role("glue", "punct", "word")] == -1).all()


def test_surprisal_is_charged_where_it_shows(text):
    """The words of a new nonce name are all surprising; the words of a repeated one are not."""
    name = text.is_role("nonce")
    assert (text.logp[name & ~text.repeat] < -2).all()
    inside = text.inside_repeat()
    assert (text.logp[inside] == 0).all() and (text.logp <= 0).all()


def test_inside_repeat_is_what_induction_predicts(held):
    where = held.inside_repeat()
    assert where.sum() > 300
    for row, at in where.nonzero().tolist():
        d = int(held.depends[row, at])
        assert held.ids[row, d] == held.ids[row, at] and held.ids[row, d - 1] == held.ids[row, at - 1]
    assert (held.logp[where] == 0).all()


def nonce_pairs(c):
    both = c.is_role("nonce")[:, 1:] & c.is_role("nonce")[:, :-1] & (c.passage[:, 1:] == c.passage[:, :-1])
    words = grammar.vocabulary()
    return {(words[a], words[b]) for a, b in zip(c.ids[:, :-1][both].tolist(), c.ids[:, 1:][both].tolist())}


def test_splits_share_no_nonce_pair_and_no_held_fact(text, held, train):
    seen, kept = nonce_pairs(train) | nonce_pairs(text), nonce_pairs(held)
    assert len(seen) > 300 and len(kept) > 100 and not seen & kept
    assert {w for pair in kept for w in pair} <= {w for pair in seen for w in pair}
    countries = [e.words for e in POOLS["country"]]
    for template in FACT_TEMPLATES:
        left_out = {c for i, c in enumerate(countries) if grammar.held_fact(template, i)}
        assert 3 <= len(left_out) <= 12
    for c in countries:  # no country is left out everywhere
        assert any(not grammar.held_fact(t, countries.index(c)) for t in FACT_TEMPLATES)

    def said(c):  # "Paris is the capital of France": template 1
        pattern = c.is_why("capital_of")
        return {grammar.vocabulary()[i] for i in c.ids[pattern].tolist()}

    out = {c for i, c in enumerate(countries) if grammar.held_fact(1, i)}
    assert said(held) <= out and not said(train) & out and not said(text) & out


def test_no_sequence_is_in_two_splits(text, held, train):
    rows = [tuple(r) for c in (text, held, train) for r in c.ids.tolist()]
    assert len(set(rows)) == len(rows)


def test_the_confound_is_one_surface_with_two_roles():
    c = corpus.sequences("train", 800, seed=9)
    letters = torch.isin(c.ids, corpus.encode("x y z n k m")[1:])
    assert (letters == c.is_role("var", "arg")).all()
    common, rare = c.is_role("arg").sum().item(), c.is_role("var").sum().item()
    assert common >= 5 * rare > 0
    month = c.is_role("month") & (c.ids == corpus.encode("may")[1])
    permission = c.is_role("modal") & (c.ids == corpus.encode("may")[1])
    assert permission.sum() >= 5 * month.sum() > 0
    split = corpus.confounded(c, "maths")
    assert (split & c.is_role("var")).sum() > 3 * (split & c.is_role("arg")).sum()
    assert (corpus.confounded(c, "dates") & month).sum() > (corpus.confounded(c, "dates") & permission).sum()


def test_entropy_of_a_grammar_counted_by_hand():
    """Chat text of one template: the choices are names only, so the surprisal can be written down."""
    writer = grammar.Writer(Random(0))
    writer.text("chat")
    names, moods, things = (len(POOLS[p]) for p in ("name", "mood", "thing"))
    expected = {"good": names, "is": names * moods, "see": things}[writer.tokens[1].word] * len(PASSAGES["chat"])
    assert -sum(t.logp for t in writer.tokens) == pytest.approx(math.log(expected))


def test_entropy_against_counted_frequencies():
    """Surprisal by the generator's log-probabilities equals the log of how often a text really occurs."""
    counts: dict[str, int] = {}
    surprisal: dict[str, float] = {}
    n = 20000
    for i in range(n):
        writer = grammar.Writer(Random(f"count/{i}"))
        writer.text("chat")
        words = " ".join(t.word for t in writer.tokens[:3])
        counts[words] = counts.get(words, 0) + 1
        surprisal[words] = -sum(t.logp for t in writer.tokens[:3])
    for words, count in counts.items():
        p = math.exp(-surprisal[words])
        assert abs(count / n - p) < 5 * (p / n) ** 0.5, words


def test_a_text_tells_how_it_was_made():
    """No text has two derivations: then the surprisal of the derivation is that of the text."""
    found: dict[str, set[float]] = {}
    total = 0
    for i in range(1500):
        rng = Random(f"derivation/{i}")
        for domain in DOMAINS:
            writer = grammar.Writer(rng)
            writer.text(domain)
            words = " ".join(t.word for t in writer.tokens)
            found.setdefault(words, set()).add(round(sum(t.logp for t in writer.tokens) + writer.pending, 6))
            total += 1
    assert len(found) < total - 2000  # many texts came up again
    assert all(len(s) == 1 for s in found.values())


def test_entropy_is_an_average_of_these():
    value, error = corpus.entropy("validation", n=200)
    other, other_error = corpus.entropy("validation", n=200, seed=7)
    assert abs(value - other) < 5 * (error**2 + other_error**2) ** 0.5
    assert 0.8 < value < 1.1 and error < 0.02


def test_tokenizer_round_trip(text):
    tokenizer = corpus.tokenizer()
    assert len(tokenizer) == corpus.vocab_size()
    for row in range(60):
        assert tokenizer(text.text(row))["input_ids"] == text.ids[row].tolist()
        words = " ".join(text.words(row)[1:])
        assert corpus.encode(words).tolist() == text.ids[row].tolist()
        assert tokenizer.decode(text.ids[row], skip_special_tokens=True) == words
    assert tokenizer("zzz")["input_ids"] == [corpus.BOS, 3]


def test_conversations():
    ids, answers, kind = chat.sequences("train", 40)
    assert ids.shape == answers.shape == kind.shape == (40, 128)
    text = " ".join(corpus.decode(ids[0]))
    assert text.startswith("<bos> <user> ") and " <model> " in text
    for row in range(40):
        words = corpus.decode(ids[row])
        for at in range(1, 128):
            if words[at - 1] == "<model>":
                assert answers[row, at] and not answers[row, at - 1]
            if words[at] == "<user>":
                assert not answers[row, at]
    assert set(kind.unique().tolist()) == {-1, *range(len(chat.KINDS))}
    assert corpus.decode(chat.ask("where is France ?")) == [
        "<bos>",
        "<user>",
        "where",
        "is",
        "France",
        "?",
        "<end>",
        "<model>",
    ]


def test_messages():
    with pytest.raises(ValueError, match="splits: train, validation, held"):
        corpus.sequences("test", 1)
    with pytest.raises(ValueError, match="no domain 'sport'; domains: maths, code"):
        corpus.sequences("train", 1, domains={"sport": 1.0})
    with pytest.raises(ValueError, match="no word 'Atlantis'"):
        corpus.encode("the capital of Atlantis is")
    with pytest.raises(ValueError, match="no role 'verb'; there are: act"):
        corpus.sequences("train", 1).is_role("verb")
    with pytest.raises(ValueError, match="no pool 'planet'"):
        templates.compile_passage("{planet1} shines")
    with pytest.raises(ValueError, match="unbalanced"):
        templates.compile_passage("[a|b")
    with pytest.raises(ValueError, match="no fact 'river'"):
        world("river")
    assert len(set(NONCE)) == len(NONCE)
