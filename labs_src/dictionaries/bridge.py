"""sae-lens for everything beyond the lesson: TopK, BatchTopK, JumpReLU and standard SAEs on given activations.

Importing this module imports sae-lens, which takes some seconds; nothing else in the room needs it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sae_lens
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from labs_src.dictionaries.recovery import explained_variance
from labs_src.dictionaries.sae import SAE
from labs_src.dictionaries.training import TrainingStopped

KINDS = {
    "standard": (sae_lens.StandardTrainingSAE, sae_lens.StandardTrainingSAEConfig),
    "topk": (sae_lens.TopKTrainingSAE, sae_lens.TopKTrainingSAEConfig),
    "batchtopk": (sae_lens.BatchTopKTrainingSAE, sae_lens.BatchTopKTrainingSAEConfig),
    "jumprelu": (sae_lens.JumpReLUTrainingSAE, sae_lens.JumpReLUTrainingSAEConfig),
}


def train(
    h: Tensor,
    architecture: str,
    d_sae: int,
    *,
    samples: int,
    batch: int = 512,
    learning_rate: float = 3e-3,
    seed: int = 0,
    **settings: Any,
) -> sae_lens.TrainingSAE:
    """Train sae-lens's SAE with its own trainer, on rows of h (n, d_in) in random order.

    Args:
        architecture: "standard", "topk", "batchtopk" or "jumprelu".
        samples: rows to train on, counting repetitions.
        learning_rate: constant, then falling linearly to 0 over the last fifth.
        settings: of sae-lens's own config, such as `k` or `l0_coefficient`.

    Raises:
        ValueError: no such architecture.
        TrainingStopped: the loss is not finite; says at which step.
    """
    if architecture not in KINDS:
        raise ValueError(f"There is no architecture {architecture!r}: use one of {', '.join(KINDS)}.")
    torch.manual_seed(seed)
    kind, config = KINDS[architecture]
    with torch.enable_grad():
        sae = kind(config(d_in=h.shape[1], d_sae=d_sae, **settings))
        steps = samples // batch
        trainer = SAETrainer(
            SAETrainerConfig(
                total_training_samples=samples, train_batch_size_samples=batch, lr=learning_rate, lr_end=0.0,
                lr_decay_steps=steps // 5, dead_feature_window=max(1, steps // 10),
            ),
            sae, _batches(h, batch, seed),
        )  # fmt: skip
        for step in range(1, steps + 1):
            loss = trainer.step(next(trainer.data_provider)).loss.item()
            trainer.n_training_steps += 1
            if not math.isfinite(loss):
                raise TrainingStopped(
                    f"Step {step}: the loss is {loss}. "
                    f"Most likely the learning rate ({learning_rate:g}) is too high, or h is not scaled to about 1."
                )
    return sae.eval().requires_grad_(False)


def _batches(h: Tensor, batch: int, seed: int) -> Iterator[Tensor]:
    g = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(h), generator=g)
        for start in range(0, len(h) - batch + 1, batch):
            yield h[order[start : start + batch]]


def save(sae: sae_lens.TrainingSAE, folder: Path | str) -> None:
    """Write cfg.json and sae_weights.safetensors, as for use (BatchTopK becomes JumpReLU)."""
    sae.save_inference_model(folder)


def load(folder: Path | str) -> sae_lens.SAE:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: there is no SAE in the folder.
    """
    if not (Path(folder) / "cfg.json").exists():
        raise FileNotFoundError(f"There is no SAE in {folder}: it should hold cfg.json and sae_weights.safetensors.")
    return sae_lens.SAE.load_from_disk(str(folder)).eval().requires_grad_(False)


@dataclass(frozen=True)
class Quality:
    """Of an SAE on held-out activations: explained variance, active latents per row (L0), share that never fires."""

    explained_variance: float
    l0: float
    dead_fraction: float


@torch.no_grad()
def quality(sae: sae_lens.SAE | SAE, h: Tensor) -> Quality:
    """sae: one of sae-lens's, or the lesson's own with one instance. h: (n, d_in), not used in training."""
    own = isinstance(sae, SAE)
    z = sae.encode(h[:, None] if own else h)
    h_hat = sae.decode(z)
    z, h_hat = (z[:, 0], h_hat[:, 0]) if own else (z, h_hat)
    fired = z != 0
    return Quality(
        float(explained_variance(h, h_hat)), float(fired.sum(-1).float().mean()), float((~fired.any(0)).float().mean())
    )


@torch.no_grad()
def activations(model: Any, hook_name: str, tokens: Tensor, chunk: int = 64) -> Tensor:
    """What stands at a hook point, a row for each token but the first (BOS), scaled to a root mean square of 1.

    Args:
        model: a TransformerBridge, or anything with `run_with_cache`.
        hook_name: such as "blocks.2.hook_resid_pre".
        tokens: (batch, positions).

    Returns:
        (batch * (positions - 1), d_model).
    """
    rows = []
    for part in tokens.split(chunk):
        _, cache = model.run_with_cache(part, names_filter=hook_name)
        rows.append(cache[hook_name][:, 1:].flatten(0, 1))
    h = torch.cat(rows)
    return h / h.pow(2).mean().sqrt()
