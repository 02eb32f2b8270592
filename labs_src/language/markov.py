"""Seeded synthetic text on 127 syllables, with its entropy known exactly.

Two kinds of sequence, both starting with BOS (id 0):

* *Markov text*: the next token is one of the four successors of the token before the current one
  (probability .7) or of the current one (.3). The first kind can only be predicted by looking one token
  back, so the text rewards a previous-token head directly.
* *Repeated blocks*: random tokens without replacement, repeated to fill the sequence. Nothing predicts the
  first copy; everything after it can be copied.

The successor table belongs to the language, not to a run: it is fixed by ``LANGUAGE_SEED``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCAB = 128
BOS = 0
CONTENT = VOCAB - 1
SUCCESSORS = 4
P_BACK = 0.7
"""Probability that the next token follows from x[t-1]; otherwise it follows from x[t]."""
MIN_BLOCK, MAX_BLOCK = 8, 32
LANGUAGE_SEED = 20


def _syllables() -> list[str]:
    open_ = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    closed = [c + v + "l" for c in "zvtsrpnmlkgd" for v in "uoiea"]
    return (open_ + closed)[:CONTENT]


TOKENS: tuple[str, ...] = ("<bos>", *_syllables())
"""The name of every token, by id."""


def decode(ids: Int[Tensor, "*shape"] | list[int]) -> list[str]:
    """Names of tokens.

    Args:
        ids: token ids, of any shape (flattened).

    Raises:
        ValueError: for an id outside 0..127.
    """
    flat = torch.as_tensor(ids).flatten().tolist()
    for i in flat:
        if not 0 <= i < VOCAB:
            raise ValueError(f"token id {i} is outside 0..{VOCAB - 1}")
    return [TOKENS[i] for i in flat]


def as_generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator from a seed; a generator is passed through."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


@cache
def successors() -> Int[Tensor, "vocab successors"]:
    """The four successors of each token; row 0 (BOS) is never used and is filled with BOS.

    Each column is a permutation of the content tokens, no token follows itself and no row repeats one, so
    the stationary distribution of single tokens is uniform.
    """
    g = as_generator(LANGUAGE_SEED)
    columns = [torch.arange(CONTENT)]  # the identity: forbids a token after itself
    while len(columns) <= SUCCESSORS:
        candidate = torch.randperm(CONTENT, generator=g)
        if all((candidate != column).all() for column in columns):
            columns.append(candidate)
    table = torch.stack(columns[1:], dim=1) + 1
    return torch.cat([torch.full((1, SUCCESSORS), BOS), table])


def transition_matrix() -> Float[Tensor, "content content"]:
    """``S[i, j]``: probability of content token j+1 as a successor of content token i+1 (float64)."""
    s = torch.zeros(CONTENT, CONTENT, dtype=torch.float64)
    return s.scatter_(1, successors()[1:] - 1, 1 / SUCCESSORS)


def markov_batch(batch: int, seq_len: int, seed: int | torch.Generator) -> Int[Tensor, "batch seq_len"]:
    """Markov text. BOS, then a uniform token, then one of its successors, then the rule of this module.

    Args:
        batch: number of sequences.
        seq_len: tokens per sequence, BOS included.
        seed: a seed, or a generator to draw from.
    """
    g = as_generator(seed)
    table = successors()
    x = torch.full((batch, seq_len), BOS)
    which = torch.randint(SUCCESSORS, (seq_len, batch), generator=g)
    back = torch.rand(seq_len, batch, generator=g) < P_BACK
    if seq_len > 1:
        x[:, 1] = torch.randint(1, VOCAB, (batch,), generator=g)
    for t in range(2, seq_len):
        source = torch.where(back[t], x[:, t - 2], x[:, t - 1]) if t > 2 else x[:, 1]
        x[:, t] = table[source, which[t]]
    return x


def repeated_batch(
    batch: int,
    seq_len: int,
    seed: int | torch.Generator,
    min_block: int = MIN_BLOCK,
    max_block: int = MAX_BLOCK,
) -> Int[Tensor, "batch seq_len"]:
    """BOS, then a block of distinct random tokens repeated to fill the sequence; its length is random per row.

    The length varies so that position alone cannot solve the task.

    Args:
        batch: number of sequences.
        seq_len: tokens per sequence, BOS included.
        seed: a seed, or a generator to draw from.
        min_block: shortest block, in tokens.
        max_block: longest block, in tokens (at most 127).
    """
    g = as_generator(seed)
    block = torch.rand(batch, CONTENT, generator=g).argsort(dim=1)[:, :max_block] + 1
    length = torch.randint(min_block, max_block + 1, (batch, 1), generator=g)
    index = torch.arange(seq_len - 1) % length
    return torch.cat([torch.full((batch, 1), BOS), block.gather(1, index)], dim=1)


def repeated_tokens(batch: int, block_len: int, generator: int | torch.Generator) -> Int[Tensor, "batch 1+2*block_len"]:
    """BOS + block + the same block, for evaluation. Tokens of a block are distinct.

    Args:
        batch: number of sequences.
        block_len: tokens per block (at most 127; the shipped models read 64 tokens, so at most 31 for them).
        generator: a seed, or a generator to draw from.

    Raises:
        ValueError: if there are not enough distinct tokens for a block.
    """
    if not 1 <= block_len <= CONTENT:
        raise ValueError(f"block_len must be 1..{CONTENT} (tokens are drawn without replacement), got {block_len}")
    g = as_generator(generator)
    block = torch.rand(batch, CONTENT, generator=g).argsort(dim=1)[:, :block_len] + 1
    return torch.cat([torch.full((batch, 1), BOS), block, block], dim=1)


def entropy_by_position(seq_len: int) -> Float[Tensor, "seq_len-1"]:
    """Exact conditional entropy of each next token of Markov text, in nats.

    Entry t is ``H(x[t+1] | x[0..t])``: what a perfect model's loss at position t would be. The rule looks
    back two tokens, so the joint distribution of two neighbours is carried forward exactly.
    """
    s = transition_matrix()
    mixed = P_BACK * s[:, None, :] + (1 - P_BACK) * s[None, :, :]  # [x[t-1], x[t], x[t+1]]
    cell = -(mixed * mixed.clamp_min(1e-300).log()).sum(-1)
    values = [torch.log(torch.tensor(float(CONTENT), dtype=torch.float64))]  # BOS -> first token
    values.append(torch.log(torch.tensor(float(SUCCESSORS), dtype=torch.float64)))  # first -> second
    pair = s / CONTENT  # joint of (x[1], x[2])
    while len(values) < seq_len - 1:
        values.append((pair * cell).sum())
        pair = P_BACK * pair.T @ s + (1 - P_BACK) * pair.sum(0)[:, None] * s
    return torch.stack(values)[: seq_len - 1]


def entropy(seq_len: int = 4096) -> float:
    """Conditional entropy of the Markov text far from its start, in nats per token (no model can do better)."""
    return float(entropy_by_position(min(seq_len, 512))[-1])


def tokenizer() -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer of this language: one syllable per token, split at spaces, BOS in front."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(TOKENS)}, unk_token=TOKENS[BOS]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<bos>", pad_token="<bos>", unk_token="<bos>",
        padding_side="right", model_max_length=64,
    )  # fmt: skip
