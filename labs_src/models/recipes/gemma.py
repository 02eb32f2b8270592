"""Training ``mini-gemma``: a real Gemma-2 architecture on the mini language, in minutes on a CPU.

Six layers, local (window 32) and global attention in turn, four query heads on two key/value heads, both softcaps,
four norms per block, tied embeddings: what Gemma-2 has, small. Trained in bfloat16 autocast with float32 weights.
Recipe: ``train`` is deterministic on one thread of one type of processor.

Trained on so little text, the norm gains stay close to each other, so that bugs in folding them hardly show.
``spread_gains`` changes them without changing the function: each gain is multiplied by a random factor and the
weights that read the normed vector are divided by it. The shipped model has been treated so; the card says it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from labs_src.language import chat, corpus
from labs_src.language.passages import DOMAINS

if TYPE_CHECKING:
    from transformers import Gemma2ForCausalLM

SEED = 0
STEPS = 2900
BATCH = 16
LEARNING_RATE = 3e-3
WARM_UP = 100
WEIGHT_DECAY = 0.05
INIT_STD = 0.06
TUNE_STEPS = 300
TUNE_LEARNING_RATE = 3e-4
EARLY_STEPS = 600
EARLY_DOMAINS = DOMAINS | {"fieldnotes": 6.0, "lists": 2.0}
"""The first steps read more text that repeats itself word by word: copying is learnt sooner."""
SPREAD_SIGMA = 1.0
SPREAD_SEED = 5


def new_model(seed: int = SEED) -> Gemma2ForCausalLM:
    """An untrained model. Weights are normal with ``INIT_STD``, norm gains 0 (which means a factor of 1)."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(seed)
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=corpus.vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=6,
            num_attention_heads=4, num_key_value_heads=2, head_dim=32, query_pre_attn_scalar=32,
            max_position_embeddings=corpus.LENGTH, sliding_window=32, attn_logit_softcapping=50.0,
            final_logit_softcapping=30.0, initializer_range=INIT_STD, tie_word_embeddings=True,
            bos_token_id=corpus.BOS, eos_token_id=1, pad_token_id=corpus.PAD, use_cache=False,
            attn_implementation="eager",
        )
    )  # fmt: skip


@dataclass
class GemmaRun:
    """A trained model; ``history`` has step, seconds (CPU) and what ``measure`` gave."""

    model: Gemma2ForCausalLM
    history: list[dict[str, float]] = field(default_factory=list)


def optimiser(model: Gemma2ForCausalLM, lr: float) -> torch.optim.AdamW:
    """AdamW: decay on matrices only, and three times the learning rate on norm gains, which start at 0."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY, "scale": 1.0},
        {"params": gains, "weight_decay": 0.0, "scale": 3.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True)


def update(model: Gemma2ForCausalLM, opt: torch.optim.AdamW, ids: Tensor, targets: Tensor, lr: float) -> float:
    """One step; ``targets`` is ``ids`` with -100 where nothing is to be learnt. Returns the loss in nats."""
    for group in opt.param_groups:
        group["lr"] = lr * group["scale"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets[:, 1:].flatten())
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    return float(loss.detach())


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate: warm-up, then constant, then linear to zero over the second half."""
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, 2 * (1 - step / steps) + 1e-3)


def train(
    seed: int = SEED,
    steps: int = STEPS,
    measure: Callable[[Gemma2ForCausalLM], dict[str, float]] | None = None,
    every: int = 400,
    on_step: Callable[[dict], None] | None = None,
) -> GemmaRun:
    """Train on ``steps * BATCH`` sequences of the split ``train``, each read once.

    Args:
        seed: fixes the initial weights and the text.
        steps: optimiser steps.
        measure: called on the model every ``every`` steps; what it returns goes into the history.
        on_step: called with each history entry.
    """
    model = new_model(seed).train()
    opt = optimiser(model, LEARNING_RATE)
    run, started = GemmaRun(model), time.process_time()
    for step in range(steps):
        domains = EARLY_DOMAINS if step < EARLY_STEPS else None
        ids = corpus.token_ids("train", BATCH, seed, start=step * BATCH, domains=domains)
        loss = update(model, opt, ids, ids, LEARNING_RATE * schedule(step, steps))
        if (step + 1) % every == 0 or step + 1 == steps:
            model.eval()
            entry = {"step": step + 1, "seconds": time.process_time() - started, "train_loss": loss}
            entry |= measure(model) if measure else {}
            model.train()
            run.history.append(entry)
            if on_step is not None:
                on_step(entry)
    model.eval()
    return run


def tune(model: Gemma2ForCausalLM, seed: int = SEED, steps: int = TUNE_STEPS) -> GemmaRun:
    """Tune a trained model on conversations, in place; only answers are learnt from. Its gains must not be spread.

    Args:
        model: from ``train``, or a shipped one after ``spread_gains(model, undo=True)``.
        seed: fixes the conversations.
        steps: optimiser steps of ``BATCH`` sequences.
    """
    model.train()
    opt, started = optimiser(model, TUNE_LEARNING_RATE), time.process_time()
    run = GemmaRun(model)
    for step in range(steps):
        ids, answers, _ = chat.sequences("train", BATCH, seed, start=step * BATCH)
        share = min(1.0, (step + 1) / 20) * (1 - step / steps)
        loss = update(model, opt, ids, ids.masked_fill(~answers, -100), TUNE_LEARNING_RATE * share)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            entry = {"step": step + 1, "seconds": time.process_time() - started, "train_loss": loss}
            run.history.append(entry)
    model.eval()
    return run


@torch.no_grad()
def spread_gains(
    model: Gemma2ForCausalLM, sigma: float = SPREAD_SIGMA, seed: int = SPREAD_SEED, undo: bool = False
) -> None:
    """Spread the gains of the norms before attention and before the MLP; the model computes the same function.

    With s = exp(sigma * normal): (1 + gain) is multiplied by s, and the columns of the weights that read the
    normed vector are divided by s. ``undo`` takes the same spread back.
    """
    g = torch.Generator().manual_seed(seed)
    for layer in model.model.layers:
        pairs = (
            (layer.input_layernorm, [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
            (layer.pre_feedforward_layernorm, [layer.mlp.gate_proj, layer.mlp.up_proj]),
        )
        for norm, readers in pairs:
            s = torch.exp(sigma * torch.randn(norm.weight.shape, generator=g) * (-1 if undo else 1))
            norm.weight.copy_((1 + norm.weight) * s - 1)
            for reader in readers:
                reader.weight.div_(s)
