"""What the recipes measure while they train, and what the cards of the attention-only models state.

The definitions are those of the labs. Evaluation text is ``repeated_tokens``: BOS, a block of L distinct tokens,
the same block again; position 0 is BOS, 1..L the first copy, L+1..2L the second.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.language import markov
from labs_src.models.attention_only import AttentionOnly

EVAL_SEED = 4321
EVAL_BLOCK = 30
PREVIOUS_HEAD = 0.3
"""A layer-0 head counts as a previous-token head from this score on."""


def eval_tokens(batch: int = 64, block_len: int = EVAL_BLOCK) -> Int[Tensor, "batch 1+2*block_len"]:
    """The repeated random tokens on which cards are measured (fixed seed)."""
    return markov.repeated_tokens(batch, block_len, EVAL_SEED)


def per_token_loss(
    logits: Float[Tensor, "batch pos vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos-1"]:
    """Cross-entropy of each next token, in nats; entry t is the loss of predicting token t+1."""
    return -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def half_losses(logits: Tensor, tokens: Tensor) -> tuple[float, float]:
    """Mean loss on the first and on the second copy.

    First: targets 1..L. Second: targets L+2..2L; the second copy's first token is left out of both, since
    nothing says that the block ends there.
    """
    loss = per_token_loss(logits, tokens)
    length = loss.shape[1] // 2
    return float(loss[:, :length].mean()), float(loss[:, length + 1 :].mean())


def previous_token_scores(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, "head"]:
    """Mean attention from each token to the one before it."""
    return pattern.diagonal(-1, -2, -1).mean((0, 2))


def induction_scores(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, "head"]:
    """Mean attention from a token in the second copy to the token after its first occurrence (L-1 back)."""
    length = (pattern.shape[-1] - 1) // 2
    return pattern.diagonal(1 - length, -2, -1)[..., -length:].mean((0, 2))


@torch.no_grad()
def scores(model: AttentionOnly, tokens: Tensor) -> dict:
    """Losses of both halves, and previous-token and induction score of every head (lists [layer][head])."""
    logits, cache = model.run_with_cache(tokens)
    patterns = [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)]
    first, second = half_losses(logits, tokens)
    return {
        "loss_first": first,
        "loss_second": second,
        "previous": [previous_token_scores(p).tolist() for p in patterns],
        "induction": [induction_scores(p).tolist() for p in patterns],
    }


def diagonal_top1(circuit: Float[Tensor, "content content"]) -> float:
    """Fraction of rows whose largest entry is on the diagonal."""
    return float((circuit.argmax(-1) == torch.arange(circuit.shape[0])).double().mean())


@torch.no_grad()
def circuits(model: AttentionOnly, previous: int, induction: int) -> dict[str, float]:
    """Diagonals of the full OV circuit of a layer-1 head, and of its K-composition with a layer-0 head.

    Content tokens only (BOS is never copied). ``kcomp_diagonal_top1`` asks, for each query token, which token
    the key's predecessor should be; ``kcomp_diagonal_top1_by_key`` asks the other way round.
    """
    embed = model.W_E[1:]
    ov = embed @ model.W_V[1, induction] @ model.W_O[1, induction] @ model.W_U[:, 1:]
    written = embed @ model.W_V[0, previous] @ model.W_O[0, previous]
    kcomp = embed @ model.W_Q[1, induction] @ (written @ model.W_K[1, induction]).T
    return {
        "ov_diagonal_top1": diagonal_top1(ov),
        "kcomp_diagonal_top1": diagonal_top1(kcomp),
        "kcomp_diagonal_top1_by_key": diagonal_top1(kcomp.T),
    }


@torch.no_grad()
def kcomp_of_all(model: AttentionOnly, previous: list[int], induction: int) -> float:
    """Diagonal of the full K-composition circuit through several layer-0 heads together."""
    embed = model.W_E[1:]
    written = sum((embed @ model.W_V[0, h] @ model.W_O[0, h] for h in previous), torch.zeros_like(embed))
    return diagonal_top1(embed @ model.W_Q[1, induction] @ (written @ model.W_K[1, induction]).T)


@torch.no_grad()
def induction_by_block(model: AttentionOnly, lengths: tuple[int, ...] = (8, 12, 16, 20, 25, 30)) -> dict[str, float]:
    """Best induction score by block length.

    A head that attends a fixed distance back scores at the block length that happens to fit; a head that looks
    for the token scores at all of them.
    """
    found = {n: scores(model, eval_tokens(block_len=n))["induction"] for n in lengths}
    return {str(n): max(max(layer) for layer in heads) for n, heads in found.items()}


@torch.no_grad()
def induction_without(model: AttentionOnly, tokens: Tensor, heads: list[int]) -> float:
    """Best layer-1 induction score when what these layer-0 heads write is taken out of layer 1's keys only.

    Keys are linear in the stream (there is no norm), so the heads' part of a key can simply be subtracted.
    """
    _, cache = model.run_with_cache(tokens)
    written = cache["blocks.0.attn.hook_result"][:, :, heads].sum(2)

    def remove(k: Tensor, name: str) -> Tensor:
        return k - torch.einsum("bpd,hde->bphe", written, model.W_K[1])

    patterns: list[Tensor] = []
    model.run_with_hooks(
        tokens,
        [("blocks.1.attn.hook_k", remove), ("blocks.1.attn.hook_pattern", lambda p, name: patterns.append(p))],
    )
    return float(induction_scores(patterns[0]).max())


def properties(model: AttentionOnly) -> dict[str, float]:
    """Everything that a card states about an attention-only model, on ``eval_tokens()``."""
    tokens = eval_tokens()
    found = scores(model, tokens)
    previous = torch.tensor(found["previous"])
    induction = torch.tensor(found["induction"])
    out = {
        "induction_score_best": float(induction.max()),
        "previous_token_score_best": float(previous[0].max()),
        "loss_first": found["loss_first"],
        "loss_second": found["loss_second"],
    }
    if model.cfg.n_layers == 2:
        out |= circuits(model, int(previous[0].argmax()), int(induction[1].argmax()))
        prev_heads = [h for h, s in enumerate(previous[0].tolist()) if s > PREVIOUS_HEAD]
        others = [h for h in range(model.cfg.n_heads) if h not in prev_heads]
        out["kcomp_diagonal_top1_all_previous"] = kcomp_of_all(model, prev_heads, int(induction[1].argmax()))
        out["induction_without_previous_heads"] = induction_without(model, tokens, prev_heads)
        out["induction_drop_without_other_heads"] = out["induction_score_best"] - (
            induction_without(model, tokens, others) if others else out["induction_score_best"]
        )
    return out
