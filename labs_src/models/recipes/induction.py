"""The attention-only models of lab 02: a recipe that finds induction in seconds on one CPU thread.

What makes it fast: text whose next token follows from the one *before* the current (so a previous-token head pays at
once), a high learning rate with warm-up and cosine decay, distinct tokens inside each repeated block (so that copying
is never ambiguous), and a switch from mostly text to mostly repeats as soon as the previous-token head is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from labs_src.language import markov
from labs_src.models.attention_only import AttentionOnly, Config
from labs_src.models.recipes import measure

LEARNING_RATE = 1e-2
BATCH = 32
WARM_UP = 50
TEXT_SHARE_BEFORE, TEXT_SHARE_AFTER = 0.75, 0.25
SWITCH_AT = 0.9
"""Previous-token score at which most of the batch becomes repeated blocks."""


@dataclass
class TrainingRun:
    """A trained model and how it got there.

    Attributes:
        model: the final model.
        history: one dictionary per evaluation: step, seconds (CPU), loss_first, loss_second (nats), previous and
            induction (best score of any head), previous_heads and induction_heads ([layer][head]), text_share.
        checkpoints: (step, state_dict) at each evaluation, the start and the end included.
    """

    model: AttentionOnly
    history: list[dict] = field(default_factory=list)
    checkpoints: list[tuple[int, dict[str, torch.Tensor]]] = field(default_factory=list)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero at ``steps``."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return LEARNING_RATE * warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / steps))))


def train(
    seed: int = 0,
    steps: int = 600,
    n_layers: int = 2,
    on_step: Callable[[dict], None] | None = None,
    every: int = 25,
    stop: Callable[[dict], bool] | None = None,
) -> TrainingRun:
    """Train an attention-only model on a mixture of Markov text and repeated blocks.

    Deterministic for a seed on one thread. The text of all steps is drawn first.

    Args:
        seed: fixes the initial weights and the text.
        steps: optimiser steps (about 25 ms each on one thread for two layers).
        n_layers: 2, or 1 for the control that cannot do induction.
        on_step: called with the history entry after each evaluation.
        every: steps between evaluations; each keeps a checkpoint.
        stop: ends the run early when it returns True for a history entry.

    Raises:
        ValueError: for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    model = AttentionOnly(Config(n_layers=n_layers), seed=seed)
    n_ctx = model.cfg.n_ctx
    g = torch.Generator().manual_seed(seed + 1000)
    most = round(BATCH * TEXT_SHARE_BEFORE), round(BATCH * (1 - TEXT_SHARE_AFTER))
    text = iter(markov.markov_batch(steps * most[0], n_ctx, g).split(most[0]))
    repeats = iter(markov.repeated_batch(steps * most[1], n_ctx, g).split(most[1]))
    probe = measure.eval_tokens(batch=8)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    run, share, started = TrainingRun(model), TEXT_SHARE_BEFORE, time.process_time()

    def evaluate(step: int) -> dict:
        found = measure.scores(model, probe)
        entry = {
            "step": step,
            "seconds": time.process_time() - started,
            "loss_first": found["loss_first"],
            "loss_second": found["loss_second"],
            "previous": max(max(layer) for layer in found["previous"]),
            "induction": max(max(layer) for layer in found["induction"]),
            "previous_heads": found["previous"],
            "induction_heads": found["induction"],
            "text_share": share,
        }
        run.history.append(entry)
        run.checkpoints.append((step, {k: v.detach().clone() for k, v in model.state_dict().items()}))
        if on_step is not None:
            on_step(entry)
        return entry

    evaluate(0)
    for step in range(steps):
        n_text = round(BATCH * share)
        tokens = torch.cat([next(text)[:n_text], next(repeats)[: BATCH - n_text]])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = measure.per_token_loss(model(tokens), tokens).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            entry = evaluate(step + 1)
            if entry["previous"] > SWITCH_AT:
                share = TEXT_SHARE_AFTER
            if stop is not None and stop(entry):
                break
    return run
