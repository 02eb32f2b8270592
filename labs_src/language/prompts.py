"""Prompts with one right next token: facts, retrieval under clutter, the other of two names.

Each set is a ``Prompts``: ids padded on the right, where to read, the right and a wrong answer. Attention is causal,
so what stands after ``last`` changes nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.language import corpus, grammar, templates
from labs_src.language.words import FACTS, NONCE, POOLS, SPECIALS, world

CLUTTERS = ("none", "facts", "words", "cities", "before_is")
"""none. facts: five sentences of the language between question and answer, as in training text. The other three are
unlike training text: fifty random words in front, the same with countries and capitals among them, and three random
words before "is"."""


@dataclass(frozen=True)
class Prompts:
    """Prompts with an answer.

    Attributes:
        ids: token ids, ``<bos>`` first, ``<pad>`` after the end.
        last: index of each prompt's last token: read the prediction there.
        answer: id of the right next token.
        wrong: id of a plausible wrong one.
    """

    ids: Int[Tensor, "prompt position"]
    last: Int[Tensor, "prompt"]
    answer: Int[Tensor, "prompt"]
    wrong: Int[Tensor, "prompt"]

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, i: int) -> str:
        """Prompt i as people write it, ``<bos>`` left out."""
        return corpus.pretty(corpus.decode(self.ids[i, 1 : int(self.last[i]) + 1]))

    def final(self, logits: Float[Tensor, "prompt position vocab"]) -> Float[Tensor, "prompt vocab"]:
        """The logits at each prompt's last token."""
        return logits[torch.arange(len(self)), self.last]

    @torch.no_grad()
    def accuracy(self, model: Callable[[Tensor], object], among: Tensor | None = None) -> float:
        """Share of prompts whose answer is the most likely token, of all or of ``among`` (ids)."""
        hits = 0
        for at in range(0, len(self), 32):
            part = Prompts(*(getattr(self, n)[at : at + 32] for n in ("ids", "last", "answer", "wrong")))
            out = model(part.ids)
            logits = part.final(getattr(out, "logits", out))
            if among is not None:
                logits = logits.index_fill(-1, _others(among, logits.shape[-1]), -torch.inf)
            hits += int((logits.argmax(-1) == part.answer).sum())
        return hits / len(self)


def _others(among: Tensor, size: int) -> Tensor:
    keep = torch.zeros(size, dtype=torch.bool)
    keep[among] = True
    return (~keep).nonzero().flatten()


def _pack(rows: list[tuple[list[str], str, str]]) -> Prompts:
    """Rows of (words of the prompt, right, wrong)."""
    coded = [corpus.encode(" ".join(words)) for words, _, _ in rows]
    ids = torch.full((len(rows), max(map(len, coded))), corpus.PAD)
    for row, code in zip(ids, coded):
        row[: len(code)] = code
    answer, wrong = (torch.tensor([int(corpus.encode(r[k])[1]) for r in rows]) for k in (1, 2))
    return Prompts(ids, torch.tensor([len(c) - 1 for c in coded]), answer, wrong)


def _write(template: str, seed: str) -> list[grammar.Token]:
    writer = grammar.Writer(Random(seed), grammar.HELD)
    writer._walk(templates.compile_passage(template), "prompt", -1, {}, {}, {})
    return writer.tokens


def fact_ids(fact: str) -> Int[Tensor, "values"]:
    """Token ids of every capital, currency or continent."""
    return corpus.encode(" ".join(sorted(set(world(fact).values()))))[1:]


def facts(fact: str = "capital", clutter: str = "none", repeats: int = 1, seed: int = 0) -> Prompts:
    """The capital of France is ...: every country, ``repeats`` times with other clutter.

    Args:
        fact: "capital" or "currency".
        clutter: one of ``CLUTTERS``.
        repeats: prompts per country; more than 1 only makes sense with clutter.
        seed: fixes the clutter and the wrong answers.

    Raises:
        ValueError: for an unknown clutter or fact.
    """
    if clutter not in CLUTTERS:
        raise ValueError(f"no clutter {clutter!r}; there are: {', '.join(CLUTTERS)}")
    if fact not in ("capital", "currency"):
        raise ValueError(f'no prompts for the fact {fact!r}: use "capital" or "currency"')
    known, rows = world(fact), []
    for repeat in range(repeats):
        for country, right in known.items():
            rng = Random(f"{fact}/{clutter}/{seed}/{repeat}/{country}")
            wrong = rng.choice(sorted(set(known.values()) - {right}))
            rows.append((_cluttered(fact, country, clutter, rng), right, wrong))
    return _pack(rows)


def _cluttered(fact: str, country: str, clutter: str, rng: Random) -> list[str]:
    plain = ["the", fact, "of", country]
    end = ["is"] if fact == "capital" else ["is", "the"]
    if clutter == "none":
        return plain + end
    if clutter == "facts":
        writer = grammar.Writer(rng)
        for _ in range(5):
            writer._include("clutter", "prompt", {"country": [country]})
        return ["what", "is", *plain, "?", *(t.word for t in writer.tokens), *plain, *end]
    countries, capitals = {e.words for e in POOLS["country"]}, set(world("capital").values())
    banned = {*SPECIALS, *countries, *(value for f in FACTS for value in world(f).values())}
    words = [w for w in grammar.vocabulary() if w not in banned]
    if clutter == "before_is":
        return plain + rng.choices(words, k=3) + end
    noise = rng.choices(words, k=50)
    if clutter == "cities":
        places = sorted((countries | capitals) - {country, world(fact)[country]})
        noise = [rng.choice(places) if rng.random() < 0.3 else w for w in noise]
    return [*noise, ".", *plain, *end]


def held_facts(seed: int = 0) -> Prompts:
    """Facts in words in which training text never states them, up to the answer: "people in ... pay with the".

    Every held pair of template and country, except "not ... but ..." and the reverse ("Paris is the capital of").
    """
    countries, rows = [e.words for e in POOLS["country"]], []
    for template in (3, 4, 6, 7):
        for i, country in enumerate(countries):
            if not grammar.held_fact(template, i):
                continue
            writer = grammar.Writer(Random(f"held/{seed}/{template}/{country}"), grammar.HELD)
            nodes, others = templates.compiled()["geography"][template], [c for c in countries if c != country]
            writer._walk(nodes, "geography", template, {}, {"country": others}, {})
            for at, token in enumerate(writer.tokens):
                if token.why in FACTS:
                    words = [t.word for t in writer.tokens[:at]]
                    wrong = Random(seed + i).choice(sorted(set(world(token.why).values()) - {token.word}))
                    rows.append((words, token.word, wrong))
    return _pack(rows)


def retrieval(n: int, clutter: int = 0, seed: int = 0) -> Prompts:
    """Three people have three things; clutter; "who has the coin ?". The wrong answer is another of the three.

    Args:
        n: prompts.
        clutter: sentences between statement and question (12 still fit a sequence).
        seed: fixes everything.
    """
    rows = []
    for i in range(n):
        rng = Random(f"retrieval/{clutter}/{seed}/{i}")
        asked, other = rng.sample((1, 2, 3), 2)
        template = (
            "{name1} has the {thing1} , {name2} has the {thing2} and {name3} has the {thing3} . "
            + "{*clutter} " * clutter
            + f"who has the {{thing{asked}}} ? {{name{asked}}}"
        )
        words = [t.word for t in _write(template, f"retrieval/{clutter}/{seed}/{i}/text")]
        rows.append((words[:-1], words[-1], words[(0, 5, 10)[other - 1]]))
    return _pack(rows)


def names(n: int, seed: int = 0) -> Prompts:
    """When Anna and Tom went to the market, Tom gave a key to ...: the other name; the giver is wrong."""
    rows = []
    for i in range(n):
        rng = Random(f"names/{seed}/{i}")
        giver, other = rng.sample((1, 2), 2)
        template = (
            "when {name1} and {name2} went to the {place1} , "
            f"{{name{giver}}} gave a {{thing1}} to {{name{other}}}"
        )
        words = [t.word for t in _write(template, f"names/{seed}/{i}/text")]
        rows.append((words[:-1], words[-1], words[9]))
    return _pack(rows)


def nonce(n: int, names_in_between: int = 0, seed: int = 0) -> Prompts:
    """Copy: blick wug dax, ... again: blick wug ...: the third word; only the prompt says which.

    The neighbours in that name are pairs that never stand together in training text.

    Args:
        n: prompts.
        names_in_between: other nonce names that follow the first before "again".
        seed: fixes everything.
    """
    rows = []
    for i in range(n):
        rng = Random(f"nonce/{names_in_between}/{seed}/{i}")
        name = [rng.choice(NONCE)]
        while len(name) < 3:
            name.append(rng.choice([w for w in grammar._followers(name[-1], grammar.HELD) if w not in name]))
        others = iter(rng.sample([w for w in NONCE if w not in name], 3 * names_in_between))
        found = [name, *zip(others, others, others)]
        listed = [w for name in found for w in (*name, ",")][:-1]
        wrong = rng.choice([w for w in NONCE if w not in found[0]])
        rows.append((["copy", ":", *listed, ".", "again", ":", *found[0][:2]], found[0][2], wrong))
    return _pack(rows)
