"""What a latent means, scored against what is known about the text: label, precision, recall, F1.

A label says where a latent should fire. Its best (label, threshold) is chosen by F1 on the even sequences of a text
and scored on the odd ones, so that a lucky choice does not count. Labels are what the corpus records of each token
(``singles``), conjunctions of two such facts, and sets of a few values of one. ``<bos>`` is left out throughout.

A label is a line of text that ``where`` reads back: ``token: Paris``, ``role: var & domain: maths``,
``previous token: the | a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labs_src.dictionaries.gemma_scope import Dictionary
from labs_src.language import corpus

if TYPE_CHECKING:
    import pandas as pd

TEXT = {"split": "validation", "n": 400, "seed": 7}
"""Arguments of ``corpus.sequences``: the text that the shipped tables were made on."""

SHARES = (0.0, 0.1, 0.25, 0.5)
"""A latent counts as firing above one of these shares of its maximum on the selection half."""

LEAST = 15
"""Firings on the selection half that make a latent live."""

PENALTY = 0.02
"""F1 that each further value of a set must bring."""

PAIRS = (
    ("token", "role"), ("token", "domain"), ("token", "reason"), ("token", "seen before"), ("token", "previous token"),
    ("token", "previous role"), ("role", "domain"), ("role", "reason"), ("role", "seen before"),
    ("role", "previous token"), ("role", "previous role"), ("domain", "previous token"), ("domain", "previous role"),
)  # fmt: skip
"""Conjunctions that are tried."""


TRAPS = {"maths": ("role: var", "role: arg"), "dates": ("role: month", "role: modal")}
"""What the language confounds on purpose: the right label within a domain, and what the same words mostly are."""


@dataclass(frozen=True)
class Family:
    """Labels of one kind.

    Attributes:
        name: such as "previous token".
        values: names of its values.
        codes: index of each token's value; -1 for none.
    """

    name: str
    values: tuple[str, ...]
    codes: Int[Tensor, "sequence position"]

    def label(self, value: int) -> str:
        """The label of one value."""
        a, _, b = self.name.partition(" & ")
        first, _, second = self.values[value].partition(" & ")
        return f"{a}: {first}" + (f" & {b}: {second}" if b else "")


@dataclass(frozen=True)
class Score:
    """Of a label against firings; ``firings`` counts them. A share of nothing is 0."""

    precision: float
    recall: float
    f1: float
    firings: int


def singles(text: corpus.Corpus) -> list[Family]:
    """What the corpus records of each token, and of the one before."""
    words, roles = tuple(corpus.decode(torch.arange(corpus.vocab_size()))), corpus.role_names()
    yes = ("yes",)
    pair = text.ids.clone()
    pair[:, 1:] = text.ids[:, :-1] * len(words) + text.ids[:, 1:]
    pair[:, 0] = -1
    again = (pair[:, :, None] == pair[:, None, :]).tril(-1).any(-1)
    return [
        Family("token", words, text.ids),
        Family("role", roles, text.role),
        Family("domain", corpus.DOMAIN_NAMES, text.domain),
        Family("reason", corpus.WHY_NAMES, text.why.masked_fill(text.why == 0, -1)),
        Family("previous token", words, _before(text.ids)),
        Family("previous role", roles, _before(text.role)),
        Family("seen before", yes, text.seen_before().long() - 1),
        Family("pair seen before", yes, again.long() - 1),
    ]


def _before(codes: Tensor) -> Tensor:
    out = torch.full_like(codes, -1)
    out[:, 1:] = codes[:, :-1]
    return out


def conjunctions(families: list[Family], pairs: tuple[tuple[str, str], ...] = PAIRS) -> list[Family]:
    """Families of two facts at once; only combinations that occur."""
    named, out = {f.name: f for f in families}, []
    for one, other in pairs:
        a, b = named[one], named[other]
        both = (a.codes * len(b.values) + b.codes).masked_fill((a.codes < 0) | (b.codes < 0), -1)
        found = both[both >= 0].unique()
        values = tuple(f"{a.values[v // len(b.values)]} & {b.values[v % len(b.values)]}" for v in found.tolist())
        codes = torch.searchsorted(found, both.clamp(min=0)).masked_fill(both < 0, -1)
        out.append(Family(f"{one} & {other}", values, codes))
    return out


def where(
    text: corpus.Corpus, description: str, families: list[Family] | None = None
) -> Bool[Tensor, "sequence position"]:
    """The tokens that a label speaks of.

    Args:
        families: ``singles(text)``, where it is at hand: saves time over many labels.

    Raises:
        ValueError: the label names a kind or a value that there is not.
    """
    named = {f.name: f for f in families or singles(text)}
    out = torch.ones_like(text.ids, dtype=torch.bool)
    for part in description.split(" & "):
        name, _, values = part.partition(": ")
        if name not in named:
            raise ValueError(f"{description!r}: there is no kind of label {name!r}; there are: {', '.join(named)}")
        family = named[name]
        if unknown := [v for v in values.split(" | ") if v not in family.values]:
            raise ValueError(f"{description!r}: there is no {name} {unknown[0]!r}")
        out &= torch.isin(family.codes, torch.tensor([family.values.index(v) for v in values.split(" | ")]))
    out[:, 0] = False
    return out


def score(
    fires: Bool[Tensor, "sequence position"],
    label: Bool[Tensor, "sequence position"],
    use: Bool[Tensor, "sequence position"] | None = None,
) -> Score:
    """Precision, recall and F1 of "it fires where the label says", over the tokens ``use`` (all if None).

    Raises:
        ValueError: the shapes differ.
    """
    if fires.shape != label.shape:
        raise ValueError(f"firings are {tuple(fires.shape)}, the label is {tuple(label.shape)}: they should be alike")
    use = torch.ones_like(fires) if use is None else use.clone()
    use[:, 0] = False
    both, n, size = int((fires & label & use).sum()), int((fires & use).sum()), int((label & use).sum())
    return Score(both / max(n, 1), both / max(size, 1), 2 * both / max(n + size, 1), n)


def label(
    z: Float[Tensor, "sequence position latent"],
    text: corpus.Corpus,
    within: Bool[Tensor, "sequence position"] | None = None,
    pairs: bool = True,
    sets: int = 3,
) -> pd.DataFrame:
    """The best label of each live latent: chosen on even sequences, scored on odd ones.

    Args:
        z: latents of the text.
        text: what is known about it.
        within: the tokens that are looked at, in both halves; all if None. A biased choice gives misleading labels.
        pairs: try conjunctions of two facts.
        sets: try sets of up to so many values of one fact; 1 for none.

    Returns:
        a row per live latent: index, description, kind, threshold, firings, precision, recall, f1 (on odd
        sequences), precision_selection, recall_selection, f1_selection (on even ones).

    Raises:
        ValueError: latents and text have different sizes.
    """
    import pandas as pd

    if z.shape[:2] != text.ids.shape:
        raise ValueError(f"latents are of {tuple(z.shape[:2])} tokens, the text has {tuple(text.ids.shape)}")
    use = torch.ones_like(text.ids, dtype=torch.bool) if within is None else within.clone()
    use[:, 0] = False
    even = (torch.arange(len(text)) % 2 == 0)[:, None].expand_as(use)
    chosen, judged = _Half(z, use & even), _Half(z, use & ~even)
    live = (chosen.count(torch.zeros(z.shape[2])) >= LEAST).nonzero().squeeze(1)
    families = singles(text)
    best = _Best(z.shape[2], max(1, sets))
    for share in SHARES:
        threshold = chosen.most * share
        fires = chosen.count(threshold)
        for family in families + (conjunctions(families) if pairs else []):
            hits, size = chosen.hits(family, threshold)
            most = max(1, sets) if " & " not in family.name and len(family.values) > 1 else 1
            for f1, values in _grow(hits, size, fires, most):
                best.offer(f1, family, values, threshold)
    rows = []
    for latent in live.tolist():
        family, values = best.family[latent], [v for v in best.values[latent].tolist() if v >= 0]
        threshold = float(best.threshold[latent])
        member = torch.isin(family.codes, torch.tensor(values))
        first, second = (score(z[..., latent] > threshold, member, h.use) for h in (chosen, judged))
        several = f"{family.name}: " + " | ".join(family.values[v] for v in values)
        rows.append(
            {
                "index": latent, "description": family.label(values[0]) if len(values) == 1 else several,
                "kind": family.name + (" set" if len(values) > 1 else ""), "threshold": threshold,
                "firings": second.firings, "precision": second.precision, "recall": second.recall, "f1": second.f1,
                "precision_selection": first.precision, "recall_selection": first.recall, "f1_selection": first.f1,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    "index", "description", "kind", "threshold", "firings", "precision", "recall", "f1", "precision_selection",
    "recall_selection", "f1_selection",
]  # fmt: skip


class _Half:
    """Where latents fire among some tokens, kept sparse: few fire at a token."""

    def __init__(self, z: Tensor, use: Tensor) -> None:
        self.use, rows = use, z[use]
        self.n_latents = z.shape[2]
        self.most = rows.amax(0) if len(rows) else torch.zeros(self.n_latents)
        self.token, self.latent = (rows > 0).nonzero(as_tuple=True)
        self.value = rows[self.token, self.latent]

    def count(self, threshold: Tensor) -> Tensor:
        """Firings of each latent above its threshold."""
        return torch.bincount(self.latent[self.value > threshold[self.latent]], minlength=self.n_latents)

    def hits(self, family: Family, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """Firings at each value of a family [value, latent], and how often each value stands in the text [value]."""
        codes, n = family.codes[self.use], len(family.values)
        code = codes[self.token]
        keep = (self.value > threshold[self.latent]) & (code >= 0)
        flat = code[keep] * self.n_latents + self.latent[keep]
        hits = torch.bincount(flat, minlength=n * self.n_latents).view(n, self.n_latents)
        return hits.float(), torch.bincount(codes[codes >= 0], minlength=n).float()


def _grow(hits: Tensor, size: Tensor, fires: Tensor, most: int) -> list[tuple[Tensor, list[Tensor]]]:
    """Best single value of each latent, then sets of two and more, each adding the value that helps most.

    Returns:
        per number of values: F1 less the penalty [latent], and the values, each [latent].
    """
    got, total = torch.zeros_like(fires, dtype=torch.float), torch.zeros_like(fires, dtype=torch.float)
    taken = torch.zeros_like(hits, dtype=torch.bool) if most > 1 else None
    values, out, latents = [], [], torch.arange(hits.shape[1])
    for n in range(min(most, len(size))):
        f1 = 2 * (got + hits) / (fires + total + size[:, None]).clamp(min=1)
        if taken is not None:
            f1 = f1.masked_fill(taken, -1)
        top, value = f1.max(0)
        got, total = got + hits[value, latents], total + size[value]
        values = [*values, value]
        if taken is not None:
            taken[value, latents] = True
        out.append((top - PENALTY * n, values))
    return out


class _Best:
    """The best offer so far for each latent."""

    def __init__(self, n: int, most: int) -> None:
        self.f1, self.threshold = torch.full((n,), -1.0), torch.zeros(n)
        self.values, self.family = torch.full((n, most), -1), [None] * n

    def offer(self, f1: Tensor, family: Family, values: list[Tensor], threshold: Tensor) -> None:
        better = f1 > self.f1 + 1e-9  # an equal one later, of a lesser kind or at a higher threshold, does not replace
        self.f1[better], self.threshold[better] = f1[better], threshold[better]
        self.values[better] = -1
        for i, value in enumerate(values):
            self.values[better, i] = value[better]
        for latent in better.nonzero().squeeze(1).tolist():
            self.family[latent] = family


def labelled_fraction(table: pd.DataFrame, floor: float = 0.7) -> float:
    """Share of live latents (rows of the table) whose label has an F1 above the floor on held-out sequences."""
    return float((table["f1"] > floor).mean()) if len(table) else 0.0


def random_dictionary(h: Float[Tensor, "row d_in"], width: int, l0: float, seed: int = 0, hook: str = "") -> Dictionary:
    """The control: random directions around the mean of the activations, with as many latents active per token.

    Args:
        h: activations as they stand in the model.
        width: number of latents.
        l0: mean number of latents active at a token.
    """
    directions = torch.randn(width, h.shape[1], generator=torch.Generator().manual_seed(seed))
    directions /= directions.norm(dim=1, keepdim=True)
    mean = h.mean(0)
    some = ((h[:4000] - mean) @ directions.T).flatten()
    threshold = some.topk(int(l0 * min(len(h), 4000))).values[-1].clamp(min=0)
    return Dictionary(
        directions.T.contiguous(), -mean @ directions.T, threshold.expand(width).clone(), directions, mean, hook
    )
