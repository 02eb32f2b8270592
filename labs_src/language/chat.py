"""Questions and answers in the mini language: what ``mini-gemma-it`` is tuned on.

A turn is ``<user> question <end> <model> answer <end>``. Training text of the base model has the three markers (in its
rare domain ``chat``), but no questions asked this way.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from labs_src.language import corpus, grammar, templates


class Kind(NamedTuple):
    """A kind of turn: question, answer, and the fact number that splits its countries (-1: none)."""

    question: str
    answer: str
    fact: int = -1


KINDS: dict[str, Kind] = {
    "capital": Kind("what is the capital of {country1} ?", "{country1.capital}", 1),
    "currency": Kind("what is the currency of {country1} ?", "the {country1.currency}", 3),
    "continent": Kind("where is {country1} ?", "in {country1.continent}", 4),
    "both": Kind("{country1} : what is the capital and what is the currency ?",
                 "{country1.capital} and the {country1.currency}", 5),
    "sum": Kind("what is {n1} + {n2} ?", "{=n1+n2}"),
    "next": Kind("what is the day after {weekday1} ?", "{weekday1.next}"),
    "holder": Kind("{name1} has the {thing1} , {name2} has the {thing2} . who has the {thing1} ?", "{name1:retrieve}"),
    "place": Kind("the {thing1} is in the {place1} , the {thing2} is in the {place2} . where is the {thing2} ?",
                  "in the {place2:retrieve}"),
    "copy": Kind("copy : {nonce1}", "{nonce1}"),
    "last": Kind("list : {goods1} , {goods2} , {goods3} . what is the last item ?", "{goods3:position}"),
}  # fmt: skip
"""Kind of turn -> its form. Only words of the base language."""


@cache
def _compiled(kind: str) -> list:
    k = KINDS[kind]
    return templates.compile_passage(f"<user>/marker {k.question} <end>/marker <model>/marker {k.answer} <end>/marker")


def sequences(
    split: str,
    n: int,
    seed: int = 0,
    length: int = corpus.LENGTH,
    kinds: tuple[str, ...] = tuple(KINDS),
    start: int = 0,
) -> tuple[Int[Tensor, "n length"], Bool[Tensor, "n length"], Int[Tensor, "n length"]]:
    """Conversations: turns until the sequence is full; the last turn is cut.

    Args:
        split: "train", "validation" (same rules) or "held" (facts about countries that training questions leave out,
            and nonce neighbours that no training text has).
        n: sequences ``start .. start+n-1``.
        seed: another seed, other sequences.
        length: tokens, ``<bos>`` included.
        kinds: kinds of turn to draw from.
        start: number of the first sequence.

    Returns:
        ids; where the answers are (with the ``<end>`` that closes each); index into ``tuple(KINDS)`` (-1 at ``<bos>``).
    """
    rule = grammar.HELD if split == "held" else grammar.TRAIN
    order = tuple(KINDS)
    ids, answers, which = ([] for _ in range(3))
    for i in range(start, start + n):
        rng = Random(f"chat/{split}/{seed}/{i}")
        writer = grammar.Writer(rng, rule)
        writer._emit("<bos>", "none", "bos")
        kind_at = [-1]
        while len(writer.tokens) < length:
            kind = rng.choice(kinds)
            writer._walk(_compiled(kind), "chat", KINDS[kind].fact, {}, {}, {})
            kind_at += [order.index(kind)] * (len(writer.tokens) - len(kind_at))
        words = [t.word for t in writer.tokens[:length]]
        inside, flags = False, []
        for word in words:
            flags.append(inside)
            inside = word == "<model>" or (inside and word != "<end>")
        ids.append(corpus.encode(" ".join(words[1:])))
        answers.append(flags)
        which.append(kind_at[:length])
    return torch.stack(ids), torch.tensor(answers), torch.tensor(which)


def ask(question: str) -> Int[Tensor, "position"]:
    """A question in the form that the tuned model knows: ids up to and including ``<model>``."""
    return corpus.encode(f"<user> {question} <end> <model>")
