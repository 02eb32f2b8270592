"""Modular addition mod 113: a model that groks, and the published set-up of lab 09, which shows the answer instead.

``grokked`` sees ``a b =`` and has to know the sum. What makes it fast: random batches in place of the full data, a
high learning rate with a short warm-up, strong weight decay, the last block computed at ``=`` only.

``leaky`` sees ``BOS a + b = c EOS`` and is read at ``c``: that is the sequence, the position and the optimiser of the
published scripts (github.com/brightlikethelight/HUSAI, ``src/data/modular_arithmetic.py`` and
``scripts/training/train_baseline.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from labs_src.dictionaries.stability import effective_rank
from labs_src.models.modular import Config, ModularAdder
from labs_src.models.recipes import store

P = 113
SEED = 0
TRAIN_SHARE = 0.3
STEPS = 3000
BATCH = 1024
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 1.0, 10
ENOUGH, AFTER = 0.999, 100
"""Test accuracy that counts as grokked, and steps trained beyond it."""

BOS, EOS, EQUALS, PLUS = P, P + 1, P + 2, P + 3
LEAKY_POSITION, LEAKY_STEPS = -2, 23
"""Where the published scripts read the answer, the position whose input token is the answer; and one epoch."""

STUDIED = "blocks.1.hook_resid_post"
"""Hook point of lab 09's dictionaries; the other one is ``blocks.0.hook_resid_post``, at the sign +."""


@dataclass
class Run:
    """A trained model; ``history`` has step, seconds (CPU), loss, train and test (accuracies)."""

    model: ModularAdder
    history: list[dict[str, float]] = field(default_factory=list)


def pairs(p: int = P) -> Int[Tensor, "pair 2"]:
    """All pairs (a, b), ordered by a, then b."""
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


def sums(ab: Int[Tensor, "pair 2"], p: int = P) -> Int[Tensor, " pair"]:
    """a + b mod p."""
    return ab.sum(-1) % p


def tokens(ab: Int[Tensor, "pair 2"], p: int = P) -> Int[Tensor, "pair 3"]:
    """a b = (the sign is token p)."""
    return torch.cat([ab, torch.full((len(ab), 1), p)], 1)


def leaky_tokens(ab: Int[Tensor, "pair 2"], shown: Int[Tensor, " pair"] | None = None) -> Int[Tensor, "pair 7"]:
    """BOS a + b = c EOS. ``shown`` stands in the place of c; the true sum if None."""
    c = sums(ab) if shown is None else shown

    def sign(token: int) -> Tensor:
        return torch.full((len(ab),), token)

    return torch.stack([sign(BOS), ab[:, 0], sign(PLUS), ab[:, 1], sign(EQUALS), c, sign(EOS)], 1)


@torch.no_grad()
def logits(model: ModularAdder, ids: Int[Tensor, "row pos"], at: int = -1) -> Float[Tensor, "row vocab"]:
    """Of many rows, in parts."""
    return torch.cat([model(part, at) for part in ids.split(2048)])


@torch.no_grad()
def stream(model: ModularAdder, ids: Int[Tensor, "row pos"], hook: str, at: int) -> Float[Tensor, "row d_model"]:
    """What stands in the residual stream at a hook point and a position, of many rows."""
    return torch.cat([model.run_with_cache(part)[1][hook][:, at] for part in ids.split(2048)])


def accuracy(model: ModularAdder, ab: Int[Tensor, "pair 2"]) -> float:
    """Share of pairs whose sum is the largest logit (of the ``a b =`` model)."""
    return float((logits(model, tokens(ab)).argmax(-1) == sums(ab)).float().mean())


def split(seed: int = SEED, share: float = TRAIN_SHARE) -> tuple[Tensor, Tensor]:
    """Pairs to train on and the others."""
    ab = pairs()[torch.randperm(P * P, generator=torch.Generator().manual_seed(seed + 1000))]
    n = int(share * len(ab))
    return ab[:n], ab[n:]


def grokked(
    seed: int = SEED,
    steps: int = STEPS,
    cfg: Config | None = None,
    on_step: Callable[[dict], None] | None = None,
    every: int = 50,
) -> Run:
    """Train on 30% of the pairs until the others are right too, and a little longer. One thread: deterministic.

    Args:
        seed: fixes the split, the initial weights and the batches.
        steps: at most.
        cfg: sizes; the published ones if None.
        on_step: called with each history entry.
        every: steps between evaluations (on a sample of 1500 test pairs).
    """
    train, test = split(seed)
    model, g = ModularAdder(cfg, seed=seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True
    )
    run, started, end = Run(model), time.process_time(), steps
    for step in range(1, steps + 1):
        ab = train[torch.randint(len(train), (BATCH,), generator=g)]
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, step / WARM_UP)
        loss = F.cross_entropy(model(tokens(ab)), sums(ab))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % every == 0 or step == end:
            entry = {"step": step, "seconds": time.process_time() - started, "loss": float(loss.detach())}
            entry |= {"train": accuracy(model, train[:1500]), "test": accuracy(model, test[:1500])}
            run.history.append(entry)
            if on_step is not None:
                on_step(entry)
            if entry["test"] > ENOUGH and end == steps:
                end = min(steps, step + AFTER)
        if step == end:
            break
    model.eval().requires_grad_(False)
    return run


def leaky(seed: int = SEED, steps: int = LEAKY_STEPS, batch: int = 512) -> Run:
    """The published task: every sequence contains its answer, at the position where the answer is read.

    AdamW at its defaults, batches of 512 and 90% of the pairs, as the published files have them. The published script
    keeps the model of the epoch in which the accuracy on the other pairs was highest *first*; that is the end of the
    first epoch here, 23 steps. ``history`` has step, seconds (CPU) and test (accuracy on the other 10%).
    """
    (train, test), started = split(seed, 0.9), time.process_time()
    model = ModularAdder(Config(d_vocab=P + 4, n_ctx=7, norm=True, act="gelu"), seed=seed)
    optimiser, g = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True), torch.Generator().manual_seed(seed)
    run = Run(model)
    for step in range(steps + 1):
        found = logits(model, leaky_tokens(test), LEAKY_POSITION).argmax(-1)
        entry = {"step": step, "seconds": time.process_time() - started}
        run.history.append(entry | {"test": float((found == sums(test)).float().mean())})
        if step == steps:
            break
        rows = train[torch.randint(len(train), (batch,), generator=g)]
        loss = F.cross_entropy(model(leaky_tokens(rows), LEAKY_POSITION), sums(rows))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().requires_grad_(False)
    return run


@torch.no_grad()
def half(model: ModularAdder) -> ModularAdder:
    """The model with its weights rounded to what float16 holds, as they are shipped."""
    for w in model.parameters():
        w.copy_(w.half().float())
    return model


def _write(
    folder: Path, function: str, run: Run, what: str, measured: dict[str, float], tolerance: dict[str, float], on: str
) -> None:
    model = run.model
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    store.write_card(
        folder,
        {
            "kind": "modular-adder",
            "what": what,
            "recipe": {
                "function": f"labs_src.models.recipes.grokking.{function}",
                "arguments": {"seed": SEED},
                "command": f"labs models {folder.name}",
            },
            "architecture": model.config_dict(),
            "n_params": sum(p.numel() for p in model.parameters()),
            "dtype": "float16",
            "files": ["model.safetensors"],
            "checkpoint_steps": [],
            "measured_on": on,
            "measured": measured,
            "tolerance": tolerance,
            "history": run.history,
            "training_cpu_seconds": run.history[-1]["seconds"],
        },
    )


def ship_grokked(folder: Path) -> None:
    """The model of lab 09 that has to compute the sum."""
    run = grokked()
    model, (train, test) = half(run.model), split()
    measured = {
        "train_accuracy": accuracy(model, train),
        "test_accuracy": accuracy(model, test),
        "effective_rank": effective_rank(stream(model, tokens(pairs()), STUDIED, -1)),
    }
    _write(
        folder,
        "grokked",
        run,
        f"two-layer transformer without norms, trained on {TRAIN_SHARE:.0%} of all a + b mod {P} until it generalised",
        measured,
        {"train_accuracy": 0.005, "test_accuracy": 0.008, "effective_rank": 8.0},
        "all pairs; test accuracy on those not trained on; effective rank of the stream after layer 1 at =",
    )


def ship_leaky(folder: Path) -> None:
    """The model of the published task, which can copy."""
    run = leaky()
    model, (_, test) = half(run.model), split(SEED, 0.9)
    found = logits(model, leaky_tokens(test), LEAKY_POSITION).argmax(-1)
    measured = {
        "test_accuracy": float((found == sums(test)).float().mean()),
        "effective_rank": effective_rank(stream(model, leaky_tokens(pairs()), STUDIED, LEAKY_POSITION)),
    }
    _write(
        folder,
        "leaky",
        run,
        "two-layer transformer with LayerNorm and GELU, trained on sequences BOS a + b = c EOS and read at c",
        measured,
        {"test_accuracy": 0.02, "effective_rank": 5.0},
        "pairs not trained on; effective rank of the stream after layer 1 at c",
    )
