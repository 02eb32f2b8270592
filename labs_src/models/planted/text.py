"""Tokens of a planted model: made-up words, each the mean direction, two content features and one id class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.models.planted.directions import Features

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
BOS = SPECIAL.index("<bos>")
MEAN = 2.0
"""How much of the mean direction each token holds; of each of its features it holds about 1."""


@dataclass(frozen=True)
class Vocabulary:
    """What every token holds.

    Attributes:
        words: one per token id; the first four are special.
        features: [token, 3]: two content features and an id class; -1 where there is none (BOS: ``bos`` alone).
        coefficients: [token, 3]: how much of each, about 1.
    """

    words: tuple[str, ...]
    features: Int[Tensor, "token 3"]
    coefficients: Float[Tensor, "token 3"]

    def with_feature(self, feature: int) -> list[int]:
        """Token ids that hold a feature."""
        return (self.features == feature).any(1).nonzero().flatten().tolist()

    def without(self, features: set[int]) -> list[int]:
        """Ordinary token ids that hold none of these features."""
        rows = self.features.tolist()
        return [t for t in range(len(SPECIAL), len(rows)) if not features & set(rows[t])]


def vocabulary(features: Features, size: int = 1024, seed: int = 0) -> Vocabulary:
    """Words and what they hold, from a seed; every content feature is held by about as many tokens.

    Raises:
        ValueError: if some content feature would be held by fewer than three tokens.
    """
    n, content = size - len(SPECIAL), np.array(features.content)
    if 2 * n < 3 * len(content):
        raise ValueError(
            f"{len(content)} content features need at least {3 * len(content) // 2 + 5} tokens; got {size}"
        )
    rng = np.random.default_rng(seed)
    rounds = -(-2 * n // len(content))
    deck = np.concatenate([rng.permutation(content) for _ in range(rounds)])[: 2 * n]
    first, second = deck[:n].copy(), deck[n:].copy()
    while (same := np.flatnonzero(first == second)).size:  # a token holds two different features
        other = rng.permutation(n)[: same.size]
        second[same], second[other] = second[other], second[same].copy()
    held = torch.full((size, 3), -1)
    held[len(SPECIAL) :, 0], held[len(SPECIAL) :, 1] = torch.tensor(first), torch.tensor(second)
    held[len(SPECIAL) :, 2] = torch.tensor(rng.permutation(np.arange(n) % features.n_ids))
    coefficients = torch.ones(size, 3)
    coefficients[:, :2] = torch.tensor(rng.uniform(0.9, 1.1, (size, 2)), dtype=torch.float32)
    held[BOS, 0], coefficients[BOS, 0] = features.bos, 2.0
    return Vocabulary((*SPECIAL, *_words(n, rng)), held, coefficients * (held >= 0))


def _words(n: int, rng: np.random.Generator) -> list[str]:
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    pairs = [a + b for a in syllables for b in syllables]
    return [pairs[i] for i in rng.permutation(len(pairs))[:n]]


def embedding(features: Features, words: Vocabulary) -> Float[Tensor, "token d_model"]:
    """Token embeddings, before the library multiplies them by sqrt(d_model)."""
    parts = features.directions[words.features.clamp(min=0)] * words.coefficients[..., None]
    return MEAN * features.mean + parts.sum(1)


def tokenizer(words: Vocabulary):
    """A standard Hugging Face tokenizer: one word, one token, ``<bos>`` in front."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words.words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="right",
    )


def save(features: Features, words: Vocabulary, path: Path) -> None:
    """The exact directions and what every token holds, as safetensors."""
    from safetensors.torch import save_file

    save_file(
        {
            "directions": features.directions.contiguous(),
            "mean": features.mean.contiguous(),
            "token_features": words.features.int(),
            "token_coefficients": words.coefficients,
        },
        path,
    )
