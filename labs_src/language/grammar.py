"""Templates to text, with the truth about every token and the probability of every choice.

A passage is compiled once into nodes. ``Writer`` walks them, draws what is open, and records for each token where it
came from. Each choice adds its log-probability to the next token written, so that the sum over a text is the exact
log-probability of its derivation (which template, which values, which alternatives).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import NamedTuple

from labs_src.language.passages import DOMAINS, FACT_TEMPLATES
from labs_src.language.templates import NONCE_LENGTHS, Either, Include, Literal, Slot, compiled
from labs_src.language.words import NONCE, POOLS, SPECIALS

TRAIN, HELD = "train", "held"
"""Which (template, country) pairs and which pairs of neighbouring nonce words a text may use. They share none."""

_CLOSES = {")": "(", '"': '"'}


def held_fact(template: int, country: int) -> bool:
    """Whether this geography template never meets this country (index in its pool) in training text."""
    return template in FACT_TEMPLATES and (5 * country + 3 * template) % 8 == 0


def held_bigram(first: str, second: str) -> bool:
    """Whether these two nonce words never stand side by side in training text."""
    return (7 * (NONCE.index(first) + 1) * (NONCE.index(second) + 2) + NONCE.index(first)) % 59 < 20


@cache
def _countries(template: int, split: str) -> list:
    return [e for i, e in enumerate(POOLS["country"]) if held_fact(template, i) == (split == HELD)]


@cache
def _followers(word: str, split: str) -> tuple[str, ...]:
    return tuple(w for w in NONCE if w != word and held_bigram(word, w) == (split == HELD))


@dataclass
class Value:
    """What a slot holds in one passage, and where it was last written."""

    words: list[str]
    entity: str
    attrs: dict[str, str]
    costs: tuple[float, ...] = ()  # log-probability of each word, and of ending after the last
    last: int = -1
    attr_last: dict[str, int] = field(default_factory=dict)


class Token(NamedTuple):
    """One token and its truth; indices are positions in the same text, -1 where there is none."""

    word: str
    domain: str
    role: str
    entity: str
    repeat: bool
    depends: int
    why: str
    logp: float
    passage: int


class Writer:
    """Writes passages and records tokens.

    Args:
        rng: source of every choice.
        split: ``TRAIN`` or ``HELD``.
    """

    def __init__(self, rng: Random, split: str = TRAIN) -> None:
        self.rng, self.split = rng, split
        self.tokens: list[Token] = []
        self.pending = 0.0
        self.passage = -1
        self.before: tuple[str, int] | None = None  # list and number of the passage just written

    def choose(self, options: list | tuple):
        """One of several, equally likely; its log-probability is charged to the next token."""
        n = len(options)
        self.pending -= math.log(n)
        return options[int(self.rng.random() * n)]

    def text(self, domain: str) -> None:
        """Write one passage of a domain; never the same template twice in a row."""
        self.passage += 1
        options = compiled()[domain]
        template = self.choose([i for i in range(len(options)) if (domain, i) != self.before])
        self.before = (domain, template)
        fact = template if domain == "geography" and template in FACT_TEMPLATES else -1
        self._walk(options[template], domain, fact, {}, {}, {})

    def _emit(self, word, domain, role, entity="", repeat=False, depends=-1, why="") -> int:
        self.tokens.append(Token(word, domain, role, entity, repeat, depends, why, self.pending, self.passage))
        self.pending = 0.0
        return len(self.tokens) - 1

    def _walk(self, nodes: list, domain: str, fact: int, memory: dict, used: dict, opened: dict) -> None:
        for node in nodes:
            if type(node) is Literal:
                self._literal(node, domain, opened)
            elif type(node) is Slot:
                self._slot(node, domain, fact, memory, used)
            elif type(node) is Either:
                self._walk(self.choose(node.options), domain, fact, memory, used, opened)
            elif type(node) is Include:
                inside = domain if node.domain in ("caption", "clutter") else node.domain
                self._include(node.domain, inside, used)
            else:
                a, b = memory[node.a], memory[node.b]
                word = str(int(a.words[0]) + int(b.words[0]))
                self._emit(word, domain, "sum", word, False, max(a.last, b.last), "sum")

    def _include(self, name: str, domain: str, used: dict) -> None:
        options = compiled()[name]
        self._walk(self.choose(options), domain, -1, {}, used, {})

    def _literal(self, node: Literal, domain: str, opened: dict) -> None:
        depends, why = -1, ""
        if node.word in _CLOSES and opened.get(_CLOSES[node.word]):
            depends, why = opened[_CLOSES[node.word]].pop(), "closes"
        at = self._emit(node.word, domain, node.role, "", False, depends, why)
        if not why and node.word in ("(", '"'):
            opened.setdefault(node.word, []).append(at)

    def _slot(self, node: Slot, domain: str, fact: int, memory: dict, used: dict) -> None:
        value = memory.get(node.name)
        if value is None:
            value = memory[node.name] = self._draw(node.pool, fact, used)
        if node.attr is None:
            before = value.last
            for offset, word in enumerate(value.words):
                if before < 0 and value.costs:
                    self.pending += value.costs[offset]
                depends, why = (before + offset, node.why or "repeat") if before >= 0 else (-1, "")
                if node.dep:
                    depends, why = memory[node.dep].last, node.why or "agrees"
                at = self._emit(word, domain, node.role, value.entity, before >= 0, depends, why)
            value.last = at - len(value.words) + 1
            if before < 0 and value.costs:
                self.pending += value.costs[-1]
            if before < 0 and value.attr_last and not node.dep:  # as in "Paris is the capital of"
                self.tokens[at] = self.tokens[at]._replace(
                    depends=max(value.attr_last.values()), why=node.why or "fact"
                )
        else:
            word, seen = value.attrs[node.attr], value.attr_last.get(node.attr, -1)
            depends, why = (seen, "repeat") if seen >= 0 else (value.last, node.why or node.attr)
            entity = value.entity if node.attr in ("she", "her", "him", "close", "have", "many") else word
            at = self._emit(word, domain, node.role, entity, seen >= 0, depends, why if depends >= 0 else "")
            value.attr_last[node.attr] = at

    def _draw(self, pool: str, fact: int, used: dict) -> Value:
        taken = used.setdefault(pool, [])
        if pool in NONCE_LENGTHS:
            words, costs = self._nonce(taken, NONCE_LENGTHS[pool])
            return Value(words, words[0], {}, costs)
        entries = _countries(fact, self.split) if pool == "country" and fact >= 0 else POOLS[pool]
        if taken:
            entries = [e for e in entries if e.words not in taken]
        entry = self.choose(entries)
        taken.append(entry.words)
        return Value([entry.words], entry.words, entry.attrs)

    def _nonce(self, taken: list[str], lengths: tuple[int, ...]) -> tuple[list[str], tuple[float, ...]]:
        """Made-up words in a row, none twice in a passage, and what each costs."""
        length = lengths[int(self.rng.random() * len(lengths))]
        words: list[str] = []
        costs: list[float] = []
        ways = len(lengths)
        while True:
            going_on = 0.0
            if len(words) in lengths:  # a row of this length may end here
                if len(words) == length:
                    return words, (*costs, -math.log(ways))
                going_on = math.log((ways - 1) / ways)
                ways -= 1
            options = _followers(words[-1], self.split) if words else NONCE
            options = [w for w in options if w not in taken]
            costs.append(going_on - math.log(len(options)))
            words.append(options[int(self.rng.random() * len(options))])
            taken.append(words[-1])


@cache
def _starts(after: str | None) -> tuple[list[str], list[float]]:
    names = [d for d in DOMAINS if d != after]
    total = sum(DOMAINS[d] for d in names)
    return names, [DOMAINS[d] / total for d in names]


CONTINUE = 0.4
"""Probability that the next passage is of the same domain; otherwise the next one is of another."""


def write(rng: Random, length: int, split: str = TRAIN, domains: dict[str, float] | None = None) -> list[Token]:
    """``<bos>``, then passages until ``length`` tokens are there; the last passage is cut.

    Args:
        rng: source of every choice.
        length: tokens, ``<bos>`` included.
        split: ``TRAIN``, or ``HELD``: facts and nonce words then use only what training text never shows.
        domains: other weights than those of the language; the log-probabilities are those of these weights.
    """
    writer = Writer(rng, split)
    writer._emit("<bos>", "none", "bos")
    domain = None
    while len(writer.tokens) < length:
        writer.rng = rng
        if domain is not None and rng.random() < CONTINUE:
            writer.pending += math.log(CONTINUE)
        else:
            if domain is not None:
                writer.pending += math.log(1 - CONTINUE)
            domain = _next_domain(writer, domain, domains)
        writer.text(domain)
    return writer.tokens[:length]


def _next_domain(writer: Writer, after: str | None, domains: dict[str, float] | None) -> str:
    if domains is None:
        names, weights = _starts(after)
    else:
        names = [d for d in domains if d != after] or list(domains)
        weights = [domains[d] / sum(domains[n] for n in names) for d in names]
    name = writer.rng.choices(names, weights)[0]
    writer.pending += math.log(weights[names.index(name)])
    return name


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the language, by token id: specials, then pools in order, then literals in order."""
    words = dict.fromkeys(SPECIALS)

    def literals(nodes: list) -> None:
        for node in nodes:
            if type(node) is Literal:
                words.setdefault(node.word)
            elif type(node) is Either:
                for option in node.options:
                    literals(option)

    for entries in POOLS.values():
        for entry in entries:
            words.setdefault(entry.words)
            for word in entry.attrs.values():
                words.setdefault(word)
    words.update(dict.fromkeys([*NONCE, *(str(i) for i in range(19))]))
    for passages in compiled().values():
        for nodes in passages:
            literals(nodes)
    return tuple(words)
