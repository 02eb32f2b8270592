"""A page of the mini language for people to read, with the truth about each word. No torch: a report shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from random import Random

from labs_src.language import grammar
from labs_src.language.passages import DOMAINS
from labs_src.language.spelling import spaced


@dataclass(frozen=True)
class Word:
    """A word, the space before it included, and what the generator says of it in a few words."""

    text: str
    truth: str
    follows: bool


@dataclass(frozen=True)
class Passage:
    """A domain's name and the words of one passage."""

    domain: str
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words)


def of_each_domain(n: int = 3, seed: int = 0) -> Iterator[Passage]:
    """The first ``n`` whole passages of every domain, domains in the order of the language.

    They follow the rules of the split ``validation``, from seeds that no split uses.
    """
    for domain in DOMAINS:
        tokens = grammar.write(Random(f"page/{seed}/{domain}"), 60 * (n + 1), grammar.TRAIN, {domain: 1.0})
        yield from _passages(tokens)[:n]


def sequence(i: int = 0, seed: int = 0, length: int = 128) -> list[Passage]:
    """Sequence ``i`` of the split ``validation`` as the models read it: mixed domains, the last passage cut."""
    return _passages(grammar.write(Random(f"validation/{seed}/{i}"), length))


def _passages(tokens: list[grammar.Token]) -> list[Passage]:
    out = []
    for _, group in groupby(tokens[1:], key=lambda token: token.passage):
        part = list(group)
        words = (
            Word(text, _truth(token, tokens), token.depends >= 0)
            for text, token in zip(spaced([token.word for token in part]), part, strict=True)
        )
        out.append(Passage(part[0].domain, tuple(words)))
    return out


def _truth(token: grammar.Token, tokens: list[grammar.Token]) -> str:
    if token.depends < 0:
        return token.role
    return f"{token.role}; {token.why}, from “{tokens[token.depends].word}”"
