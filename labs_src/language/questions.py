"""A factual question under clutter, for either tier: what heads are taken away from.

On the mini tier three random words stand before "is" (``prompts.CLUTTERS``): with the other clutter the model makes no
mistakes, and where nothing goes wrong nothing can get better. On the Gemma tier plain English stands in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from labs_src.language import english, prompts
from labs_src.language.prompts import Prompts
from labs_src.language.words import world


@dataclass(frozen=True)
class Questions:
    """Prompts for "the capital of X is".

    Attributes:
        prompts: with their answers.
        among: token ids of all possible answers.
        country: [prompt], which country is asked for; prompts about one country are not independent.
    """

    prompts: Prompts
    among: Int[Tensor, " candidate"]
    country: Int[Tensor, " prompt"]


def mini(repeats: int, seed: int = 0) -> Questions:
    """Every country of the mini language, `repeats` times with other words before "is"."""
    asked = prompts.facts("capital", "before_is", repeats, seed)
    return Questions(asked, prompts.fact_ids("capital"), torch.arange(len(asked)) % len(world("capital")))


def plain_english(tokenizer: Any, repeats: int, seed: int = 0, sentences: int = 3) -> Questions:
    """The same countries in English, behind a few sentences about other things.

    Countries whose capital begins with the same token as another's are left out.

    Args:
        tokenizer: of the model; puts ``<bos>`` in front.
        repeats: prompts per country.
        seed: of the sentences.
        sentences: how many stand before the question.
    """
    first = {c: tokenizer(f" {v}", add_special_tokens=False)["input_ids"][0] for c, v in world("capital").items()}
    counts = list(first.values())
    asked = [c for c in first if counts.count(first[c]) == 1]
    filler = [s.strip() for p in english.PARAGRAPHS if "def " not in p for s in " ".join(p.split()).split(". ") if s]
    filler = [s for s in filler if "capital" not in s and s.endswith(tuple("abcdefghijklmnopqrstuvwxyz"))]
    rows = []
    for repeat in range(repeats):
        for country in asked:
            rng = Random(f"questions/{seed}/{repeat}/{country}")
            text = " ".join(f"{s}." for s in rng.sample(filler, sentences)) + f" The capital of {country} is"
            wrong = rng.choice([c for c in asked if c != country])
            rows.append((tokenizer(text)["input_ids"], first[country], first[wrong]))
    ids = torch.zeros(len(rows), max(len(row[0]) for row in rows), dtype=torch.long)
    for line, (code, _, _) in zip(ids, rows, strict=True):
        line[: len(code)] = torch.tensor(code)
    last = torch.tensor([len(code) - 1 for code, _, _ in rows])
    answer, wrong = (torch.tensor([row[k] for row in rows]) for k in (1, 2))
    among = torch.tensor([first[c] for c in asked])
    return Questions(Prompts(ids, last, answer, wrong), among, torch.arange(len(rows)) % len(asked))
