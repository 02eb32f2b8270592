"""Lab 08, third part: decoding, natural successors, and what a label covers."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _logits(rng) -> dict:
    """As many rows as tokens, so that an alpha laid along the tokens gives a wrong value with a name, not an error."""
    alpha = torch.from_numpy(rng.uniform(0.4, 3.0, 5)).float()
    alpha[int(rng.integers(5))] = 0
    return {"act": normal(rng, 5, 5, scale=3.0), "mean": normal(rng, 5, 5, scale=3.0), "alpha": alpha}


def _contrast_by_loop(act, mean, alpha) -> torch.Tensor:
    out = torch.zeros(act.shape, dtype=torch.float64)
    for row in range(act.shape[0]):
        for token in range(act.shape[1]):
            a, m = float(act[row, token]), float(mean[row, token])
            out[row, token] = (1 + float(alpha[row])) * a - float(alpha[row]) * m
    return out


_CONTRAST_MISTAKES = (
    Mistake("the first L_act is missing: this is the contrast alone", lambda a, m, w: w[:, None] * (a - m)),
    Mistake("the sign of the contrast is the wrong way round", lambda a, m, w: a + w[:, None] * (m - a)),
    Mistake("L_mean alone is subtracted; subtracted is the mean run's difference from L_act", lambda a, m, w: a - w[:, None] * m),
    Mistake("added to L_mean; the formula adds to L_act", lambda a, m, w: m + w[:, None] * (a - m)),
    Mistake("alpha is laid along the tokens (broadcasting goes by the last axis); make it a column, alpha[:, None]", lambda a, m, w: a + w * (a - m)),
    Mistake("one alpha for all rows; each row has its own", lambda a, m, w: a + w.mean() * (a - m)),
    Mistake("one alpha for all rows; each row has its own", lambda a, m, w: a + w[0] * (a - m)),
    Mistake("that is a distribution; asked are logits", lambda a, m, w: (a + w[:, None] * (a - m)).softmax(-1)),
    Mistake("the contrast was made of log-probabilities; asked is that of the logits as they are", lambda a, m, w: a.log_softmax(-1) + w[:, None] * (a.log_softmax(-1) - m.log_softmax(-1))),
)  # fmt: skip


def _followers(rng) -> dict:
    """Firings at the last position, where nothing follows; a token exactly at the share, two below it."""
    ids = torch.from_numpy(rng.integers(0, 4, (4, 13)))
    strong = torch.zeros(4, 13, dtype=torch.bool)
    strong[0, [1, 4, 7, 10]] = strong[1, [1, 4, 7, 10]] = strong[2, [2, 5]] = True
    rows, places = strong.nonzero().T
    ids[:, 0], ids[:, 12] = 10, torch.tensor([0, 1, 2, 3])
    ids[rows, places - 1], ids[rows, places] = 9, 8
    ids[:, 0] = 10
    ids[rows, places + 1] = torch.tensor([5, 5, 5, 5, 5, 5, 7, 7, 6, 4])[torch.from_numpy(rng.permutation(10))]
    strong[:, 12] = True
    return {"ids": ids, "strong": strong, "least": 0.2, "n_vocab": 14}


def _followers_by_loop(ids, strong, least, n_vocab) -> torch.Tensor:
    after = []
    for text in range(ids.shape[0]):
        for place in range(ids.shape[1] - 1):
            if strong[text, place]:
                after.append(int(ids[text, place + 1]))
    return torch.tensor([after.count(token) >= least * len(after) for token in range(n_vocab)])


def _share(ids, n):
    return torch.bincount(ids, minlength=n).double() / max(1, len(ids))


_FOLLOWERS_MISTAKES = (
    Mistake("those are the tokens at the strong places; asked are the ones after them", lambda i, s, p, n: _share(i[s], n) >= p),
    Mistake("those are the tokens before the strong places; asked are the ones after them", lambda i, s, p, n: _share(i[:, :-1][s[:, 1:]], n) >= p),
    Mistake("nothing follows the last position of a text: here its own beginning does", lambda i, s, p, n: _share(i.roll(-1, 1)[s], n) >= p),
    Mistake("nothing follows the last position of a text: here the next text's beginning does", lambda i, s, p, n: _share(i.flatten()[1:][s.flatten()[:-1]], n) >= p),
    Mistake("every token that ever follows; it has to make up at least `least` of them", lambda i, s, p, n: _share(i[:, 1:][s[:, :-1]], n) > 0),
    Mistake("a token exactly at the share counts: at least", lambda i, s, p, n: _share(i[:, 1:][s[:, :-1]], n) > p + 1e-9),
    Mistake("the share is of all tokens of the text; asked is the share of those that follow", lambda i, s, p, n: torch.bincount(i[:, 1:][s[:, :-1]], minlength=n) >= p * i.numel()),
    Mistake("shares, not True or False", lambda i, s, p, n: _share(i[:, 1:][s[:, :-1]], n)),
)  # fmt: skip


def _losses(rng) -> dict:
    """Losses and gains both inside and outside the label, of unequal size."""
    before, after = normal(rng, 3, 6, scale=2.0), normal(rng, 3, 6, scale=2.0)
    label = torch.from_numpy(rng.uniform(size=(3, 6)) < 0.4)
    label[0, :2] = torch.tensor([True, False])
    before[0, :2], after[0, :2] = torch.tensor([3.0, 3.5]), torch.tensor([1.0, -0.5])  # a loss on each side
    label[1, :2] = torch.tensor([True, False])
    before[1, :2], after[1, :2] = torch.tensor([0.5, -2.0]), torch.tensor([2.5, 1.0])  # a gain on each side
    return {"before": before, "after": after, "label": label}


def _nothing(rng) -> dict:
    before = normal(rng, 2, 5)
    return {"before": before, "after": before + normal(rng, 2, 5).abs(), "label": torch.ones(2, 5, dtype=torch.bool)}


def _covered_by_loop(before, after, label) -> float:
    total, inside = 0.0, 0.0
    for b, a, here in zip(before.flatten().tolist(), after.flatten().tolist(), label.flatten().tolist()):
        if b > a:
            total += b - a
            inside += (b - a) if here else 0.0
    return inside / total if total else 0.0


def _covered(lost, label):
    return float((lost * label).sum() / lost.sum())


_COVERED_MISTAKES = (
    Mistake("gains are counted as negative losses; leave them out", lambda b, a, w: _covered(b - a, w)),
    Mistake("gains are counted as losses; leave them out", lambda b, a, w: _covered((b - a).abs(), w)),
    Mistake("before and after are swapped: these are the gains", lambda b, a, w: _covered((a - b).clamp(min=0), w)),
    Mistake("that is the share of tokens; weigh each by how much is lost there", lambda b, a, w: float((w & (b > a)).sum() / (b > a).sum())),
    Mistake("that is the mean loss at the label; asked is a share of all that is lost", lambda b, a, w: float((b - a).clamp(min=0)[w].mean())),
    Mistake("that is the loss at the label; divide by all that is lost", lambda b, a, w: float((b - a).clamp(min=0)[w].sum())),
    Mistake("divided by the target's activation; asked is the share of the loss", lambda b, a, w: float((b - a).clamp(min=0)[w].sum() / b.sum())),
    Mistake("that is the share *outside* the label", lambda b, a, w: _covered((b - a).clamp(min=0), ~w)),
    Mistake("the mean loss at the label is divided by the mean loss over all; asked are sums", lambda b, a, w: float((b - a).clamp(min=0)[w].mean() / (b - a).clamp(min=0).mean())),
    Mistake("the mean loss at the label is divided by the mean loss outside; asked are sums, and of all that is lost", lambda b, a, w: float((b - a).clamp(min=0)[w].mean() / (b - a).clamp(min=0)[~w].mean())),
)  # fmt: skip

_NOTHING_MISTAKES = (
    Mistake("nothing is lost here, and 0 / 0 is no number; return 0", lambda b, a, w: float("nan")),
    Mistake("nothing is lost here; return 0", lambda b, a, w: 1.0),
)


CONTRASTIVE_LOGITS = Exercise(
    name="contrastive_logits",
    lab="08",
    title="The vector against the mean",
    parts=(
        Part("each row with its own alpha", 2, _logits, expect(_contrast_by_loop, axes="row token", mistakes=_CONTRAST_MISTAKES)),
    ),
    hints=(
        "It is the formula, written with tensors. Which axis does alpha belong to?",
        "alpha[:, None] makes a column, so that each row is multiplied by its own.",
        "act + alpha[:, None] * (act - mean)",
    ),
    read_again="8 In its own words",
    difficulty=1,
    importance=3,
    minutes=4,
)  # fmt: skip

NATURAL_SUCCESSORS = Exercise(
    name="natural_successors",
    lab="08",
    title="What follows where the neuron is strong",
    parts=(
        Part(
            "the token after each strong place, within its text", 3, _followers,
            expect(_followers_by_loop, axes="token", mistakes=_FOLLOWERS_MISTAKES),
        ),
    ),
    hints=(
        "The last position has no successor: use strong[:, :-1] and ids[:, 1:].",
        "Count the followers with torch.bincount(..., minlength=n_vocab); compare with least times their number.",
        "count = torch.bincount(ids[:, 1:][strong[:, :-1]], minlength=n_vocab); return count >= least * count.sum()",
    ),
    read_again="8 In its own words",
    difficulty=2,
    importance=4,
    minutes=8,
)  # fmt: skip

LOSS_COVERED = Exercise(
    name="loss_covered",
    lab="08",
    title="What a label covers of a target's loss",
    parts=(
        Part("losses inside and outside the label", 2, _losses, expect(_covered_by_loop, mistakes=_COVERED_MISTAKES)),
        Part("nothing is lost", 1, _nothing, expect(_covered_by_loop, mistakes=_NOTHING_MISTAKES)),
    ),
    hints=(
        "First what is lost at each token; where the target gains, nothing is.",
        "lost = (before - after).clamp(min=0); the share of its sum that is at the label.",
        "float((lost * label).sum() / lost.sum().clamp(min=1e-12))",
    ),
    read_again="11 Correcting labels",
    difficulty=2,
    importance=4,
    minutes=6,
)

EXERCISES = (CONTRASTIVE_LOGITS, NATURAL_SUCCESSORS, LOSS_COVERED)
