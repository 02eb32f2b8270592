"""A few paragraphs of plain English, written for this course, for models that read English: the Gemma tier."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

PARAGRAPHS = (
    """The ferry leaves the north harbour at seven and reaches the island a little before nine. In winter it sails only
    on Mondays and Fridays, because the wind turns and the landing stage freezes. Anna has lived on the island since she
    was a child. She says that the crossing was worse when the old ferry still ran: it rolled so badly that the post
    arrived wet, and her mother ironed the letters before she read them. Today the post comes in a dry box, and nobody
    irons anything. On Fridays the ferry also brings bread, because the baker on the island has retired.""",
    """To make the soup, cut two onions and a carrot into small pieces and let them soften in butter. Add four potatoes,
    a litre of water and a spoon of salt. After twenty minutes the potatoes are soft. Press half of them through a sieve
    and stir the paste back into the pot, so that the soup becomes thick without any flour. If you like it sharp, add a
    little mustard at the end. The soup tastes better on the second day, when the onions have given up their sweetness.
    Do not freeze it: potatoes turn to sand.""",
    """def mean(values):
        total = 0
        for value in values:
            total = total + value
        return total / len(values)

    def variance(values):
        middle = mean(values)
        squares = [(value - middle) ** 2 for value in values]
        return mean(squares)

    # The standard deviation is in the unit of the values themselves.
    def deviation(values):
        return variance(values) ** 0.5
    """,
    """Whoever rents a boat from the club shall return it before sunset, cleaned and with a full tank. A boat that is
    returned late costs half of the daily price for each hour that has begun. Damage has to be reported at once, even if
    it seems small. The club may refuse to rent a boat when the wind is stronger than force five. Members who have not
    paid their yearly fee by the end of March may not rent a boat until they have paid it. The keeper of the boathouse
    decides in all cases that these rules do not cover.""",
    """The moon has no light of its own. What we see is sunlight, thrown back by dust and rock. When the moon stands
    between us and the sun, its bright side faces away, and we call it new. Two weeks later we stand in between, a
    little above or below the line, and the moon is full. If the line is exact, our shadow falls on the moon and it
    turns a dark red, because the air around the edge of our planet bends red light inward. The sun lights exactly one
    half of the moon at every moment; only our view of that half changes.""",
    """Q: Which city is the capital of Norway? A: Oslo. Q: Which city is the capital of Portugal? A: Lisbon. Q: Which
    city is the capital of Hungary? A: Budapest. Q: Which city is the capital of Kenya? A: Nairobi. Q: Which city is the
    capital of Chile? A: Santiago. Q: Which city is the capital of Vietnam? A: Hanoi. Q: Which city is the capital of
    Egypt? A: Cairo. Q: Which city is the capital of Canada? A: Ottawa. Q: Which city is the capital of Peru? A: Lima.
    Q: Which city is the capital of Greece? A: Athens.""",
    """When Tom and Maria came back from the market, Tom gave the basket to Maria and went to feed the dog. The dog was
    not in the yard. Maria called it, first from the door and then from the gate, but it did not come. Tom found the
    gate open and blamed the postman. Maria blamed the wind. An hour later the dog came home by itself, wet and very
    pleased, with a shoe that belonged to neither of them. They put the shoe on the wall beside the road, and in the
    morning it was gone.""",
    """A prime number has no divisors except one and itself. Suppose that there were only finitely many of them.
    Multiply them all together and add one. The result leaves a remainder of one when it is divided by any prime on the
    list, so none of them divides it. But every number greater than one is divided by some prime. This prime cannot be
    on the list, and the list was supposed to hold all of them. So the supposition is wrong: whatever list of primes
    somebody writes down, there is a prime that is missing from it.""",
)


def token_ids(tokenizer: Any, n: int, length: int = 96) -> Int[Tensor, "n length"]:
    """Windows of the paragraphs, each from its beginning, ``<bos>`` in front.

    Args:
        tokenizer: of the model; must put ``<bos>`` in front.
        n: how many.
        length: tokens in each; paragraphs that are shorter run on into the next.

    Raises:
        ValueError: more windows than paragraphs.
    """
    if n > len(PARAGRAPHS):
        raise ValueError(f"there are {len(PARAGRAPHS)} paragraphs, so no more than that many windows; asked for {n}")
    plain = [" ".join(p.split()) if "def " not in p else p for p in PARAGRAPHS]
    rows = [" ".join(plain[(i + j) % len(plain)] for j in range(len(plain))) for i in range(n)]
    return torch.tensor([tokenizer(row)["input_ids"][:length] for row in rows])
