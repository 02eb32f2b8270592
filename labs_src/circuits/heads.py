"""What a head attends to, as one number each: previous, current and first token, and induction.

All scores are mean attention probabilities (0 to 1) over a batch and over the queries for which the question makes
sense. Sources: Elhage et al. 2021; Olsson et al. 2022, "In-context Learning and Induction Heads".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

Pattern = Float[Tensor, "batch head query key"]
Scores = Float[Tensor, "head"]


def offset_scores(pattern: Pattern, offset: int) -> Scores:
    """Mean attention from each query to the key `offset` tokens earlier, over the queries that have one.

    Raises:
        ValueError: No query has such a key.
    """
    if not 0 <= offset < pattern.shape[-1]:
        raise ValueError(f"offset must be 0..{pattern.shape[-1] - 1} for {pattern.shape[-1]} tokens, got {offset}")
    return pattern.diagonal(-offset, -2, -1).mean((0, 2))


def current_token_scores(pattern: Pattern) -> Scores:
    """Mean attention from each token to itself."""
    return offset_scores(pattern, 0)


def previous_token_scores(pattern: Pattern) -> Scores:
    """Mean attention from each token to the one before it."""
    return offset_scores(pattern, 1)


def first_token_scores(pattern: Pattern) -> Scores:
    """Mean attention to position 0. Query 0 is left out: it has nowhere else to look."""
    return pattern[..., 1:, 0].mean((0, 2))


def induction_scores(pattern: Pattern) -> Scores:
    """Mean attention from the second copy to the token after the first occurrence.

    Args:
        pattern: On BOS + block + block. With L tokens in a block, queries are L+1..2L and the key of query q is q-L+1.

    Raises:
        ValueError: The number of tokens is even, so it is not BOS + block + block.
    """
    n = pattern.shape[-1]
    if n % 2 == 0:
        raise ValueError(f"BOS + block + block has an odd number of tokens; this pattern has {n}")
    length = n // 2
    return pattern.diagonal(1 - length, -2, -1)[..., -length:].mean((0, 2))


DETECTORS = {
    "previous": previous_token_scores,
    "current": current_token_scores,
    "first": first_token_scores,
    "induction": induction_scores,
}


def name(layer: int, head: int) -> str:
    """How a head is written: L1H3 is head 3 of layer 1, both counted from 0."""
    return f"L{layer}H{head}"


def patterns(cache: Mapping[str, Tensor]) -> Float[Tensor, "layer batch head query key"]:
    """The attention patterns of every layer in a cache, as one tensor."""
    import torch

    found = [value for key, value in cache.items() if key.endswith("attn.hook_pattern")]
    return torch.stack(found)


def score_table(cache: Mapping[str, Tensor]) -> pd.DataFrame:
    """Every detector on every head: columns layer, head, name, detector, score."""
    import pandas as pd

    rows = [
        {"layer": layer, "head": head, "name": name(layer, head), "detector": detector, "score": float(score)}
        for layer, pattern in enumerate(patterns(cache))
        for detector, scores in DETECTORS.items()
        for head, score in enumerate(scores(pattern))
    ]
    return pd.DataFrame(rows)
