"""Labels: latents made to fire on known tokens get their label back, with the right scores; others do not."""

from __future__ import annotations

import pytest
import torch

from labs_src.dictionaries import labelling
from labs_src.language import corpus


@pytest.fixture(scope="module")
def text():
    return corpus.sequences("validation", 60, seed=3)


def latents(text, *wanted, noise=0.0):
    """One latent per label, firing at strengths of its own; `noise` of the other tokens fire as well."""
    g = torch.Generator().manual_seed(0)
    z = torch.zeros(*text.ids.shape, len(wanted))
    for i, description in enumerate(wanted):
        here = labelling.where(text, description) if isinstance(description, str) else description
        here = here | (torch.rand(text.ids.shape, generator=g) < noise)
        z[..., i] = here * (0.5 + torch.rand(text.ids.shape, generator=g))
    return z


def by_index(table):
    return table.set_index("index")


def test_where_by_a_loop(text):
    words, roles = text.words, corpus.role_names()
    checks = {
        "token: , | .": lambda i, t: words(i)[t] in (",", "."),
        "role: punct": lambda i, t: roles[text.role[i, t]] == "punct",
        "previous token: the & domain: law": lambda i, t: (
            words(i)[t - 1] == "the" and corpus.DOMAIN_NAMES[text.domain[i, t]] == "law"
        ),
        "pair seen before: yes": lambda i, t: tuple(words(i)[t - 1 : t + 1]) in zip(words(i)[: t - 1], words(i)[1:t]),
    }
    for description, is_there in checks.items():
        found = labelling.where(text, description)
        assert found.any() and not found[:, 0].any()
        for i in range(6):
            assert found[i].tolist() == [False] + [bool(is_there(i, t)) for t in range(1, 128)], description


def test_where_says_what_is_wrong(text):
    with pytest.raises(ValueError, match="no kind of label 'colour'"):
        labelling.where(text, "colour: red")
    with pytest.raises(ValueError, match="no role 'verb'"):
        labelling.where(text, "role: verb")


def test_score_by_a_loop():
    g = torch.Generator().manual_seed(1)
    fires, label, use = (torch.rand(7, 11, generator=g) < p for p in (0.4, 0.3, 0.8))
    cells = [(i, t) for i in range(7) for t in range(1, 11) if use[i, t]]
    both = sum(bool(fires[c] and label[c]) for c in cells)
    n, size = sum(bool(fires[c]) for c in cells), sum(bool(label[c]) for c in cells)
    found = labelling.score(fires, label, use)
    p, r = both / n, both / size
    assert (found.precision, found.recall, found.firings) == (pytest.approx(p), pytest.approx(r), n)
    assert found.f1 == pytest.approx(2 * p * r / (p + r))
    assert labelling.score(fires & False, label).f1 == 0
    with pytest.raises(ValueError, match="should be alike"):
        labelling.score(fires, label[:, :5])


KNOWN = ["token: the", "role: nonce", "domain: law", "previous token: of", "role: name & domain: dialogue"]


def test_known_latents_get_their_label_back(text):
    table = by_index(labelling.label(latents(text, *KNOWN), text))
    for i, description in enumerate(KNOWN):
        assert table.loc[i, "f1"] == 1
        # several labels can say the same of this text: what counts is that they hold of the same tokens
        assert torch.equal(labelling.where(text, table.loc[i, "description"]), labelling.where(text, description))


def test_sets_and_pairs_can_be_left_out(text):
    z = latents(text, "token: , | the | of", "role: name & domain: dialogue")
    full, plain = (by_index(labelling.label(z, text, **o)) for o in ({}, {"pairs": False, "sets": 1}))
    assert full["f1"].min() == 1 and plain["f1"].max() < 0.95
    assert full.loc[0, "kind"] == "token set" and "&" not in "".join(plain["description"])


def test_scores_are_of_the_other_half_and_can_be_computed_again(text):
    z = latents(text, *KNOWN, noise=0.03)
    odd = (torch.arange(len(text)) % 2 == 1)[:, None].expand(text.ids.shape)
    for row in labelling.label(z, text).itertuples():
        where = labelling.where(text, row.description)
        held, chosen = (labelling.score(z[..., row.index] > row.threshold, where, use) for use in (odd, ~odd))
        assert (held.precision, held.recall, held.f1, held.firings) == pytest.approx(
            (row.precision, row.recall, row.f1, row.firings)
        )
        assert chosen.f1 == pytest.approx(row.f1_selection)


def test_a_threshold_is_found(text):
    z = latents(text, "role: nonce") * 3 + latents(text, torch.zeros_like(text.repeat), noise=0.3) * 0.2
    assert by_index(labelling.label(z, text)).loc[0, "f1"] == 1


def test_noise_gets_no_label_and_silence_no_row(text):
    z = latents(text, *[torch.zeros_like(text.repeat)] * 20, noise=0.02)
    z[..., 7] = 0
    table = labelling.label(z, text)
    assert len(table) == 19 and 7 not in set(table["index"])
    assert labelling.labelled_fraction(table) == 0
    assert labelling.labelled_fraction(table.head(0)) == 0


def test_a_misleading_split_misleads():
    text = corpus.sequences("validation", 400, seed=7)
    z = latents(text, "role: var | arg")
    split = corpus.confounded(text, "maths")
    biased, fair = (labelling.label(z, text, within=w, sets=1, pairs=False).iloc[0] for w in (split, None))
    assert biased["description"] == "role: var" and biased["f1"] > 0.8
    assert fair["description"] == "role: arg" and fair["f1"] > 0.8
    everywhere = labelling.score(z[..., 0] > biased["threshold"], labelling.where(text, "role: var"))
    assert everywhere.f1 < 0.35


def test_sizes_must_fit(text):
    with pytest.raises(ValueError, match="the text has"):
        labelling.label(torch.zeros(3, 128, 4), text)


def test_random_dictionary_is_as_sparse_as_asked():
    h = torch.randn(3000, 24, generator=torch.Generator().manual_seed(2)) * 3 + 5
    d = labelling.random_dictionary(h, 200, 9.0, seed=1)
    assert (d.encode(h) > 0).sum(-1).float().mean() == pytest.approx(9, abs=0.5)
    assert torch.equal(d.W_dec, labelling.random_dictionary(h, 200, 9.0, seed=1).W_dec)
