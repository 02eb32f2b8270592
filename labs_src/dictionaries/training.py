"""Training a `SAE`: Adam over one flat buffer, snapshots for animation, resampling where it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from labs_src.dictionaries.sae import SAE, gradients


class TrainingStopped(RuntimeError):
    """Training met a number that is not finite; the message has the step and the likely cause."""


class Adam:
    """Adam over one flat buffer: the weights are views of it, so that a step is a handful of operations."""

    def __init__(self, sae: SAE, betas: tuple[float, float] = (0.9, 0.99)):
        self.betas, self.t, weights = betas, 0, sae.weights()
        self.flat = torch.cat([w.reshape(-1) for w in weights.values()])
        self.m, self.v = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.shapes = {name: w.shape for name, w in weights.items()}
        for name, view in self.views(self.flat).items():
            setattr(sae, name, view)
        if sae.tied:
            sae.W_enc = sae.W_dec.mT

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parts of a flat buffer by name; `views(self.m)["W_enc"]` are the first moments of W_enc."""
        parts = flat.split([s.numel() for s in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts)}

    def step(self, named: dict[str, Tensor], learning_rate: float) -> None:
        """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  w <- w - lr * m_hat / sqrt(v_hat)."""
        self.t += 1
        b1, b2 = self.betas
        g = torch.cat([named[name].reshape(-1) for name in self.shapes])
        if not math.isfinite(g.sum().item()):
            raise FloatingPointError
        self.m.lerp_(g, 1 - b1)
        self.v.mul_(b2).addcmul_(g, g, value=1 - b2)
        scale = math.sqrt(1 - b2**self.t)
        self.flat.addcdiv_(self.m, self.v.sqrt().add_(1e-8 * scale), value=-learning_rate * scale / (1 - b1**self.t))


@dataclass
class History:
    """Snapshots along training, lists of equal length but for `resampled`: (step, (instances, d_sae) mask) each."""

    step: list[int] = field(default_factory=list)
    W_enc: list[Tensor] = field(default_factory=list)
    W_dec: list[Tensor] = field(default_factory=list)
    b_enc: list[Tensor] = field(default_factory=list)
    b_dec: list[Tensor] = field(default_factory=list)
    active: list[Tensor] = field(default_factory=list)  # (instances, d_sae): share of the batch in which a latent fires
    l1: list[float] = field(default_factory=list)  # mean over rows and instances of the sum of |z|
    resampled: list[tuple[int, Tensor]] = field(default_factory=list)


def train(
    sae: SAE,
    data: Tensor,
    *,
    steps: int,
    batch: int = 256,
    learning_rate: float = 1e-2,
    coefficient: float = 0.1,
    normalise: bool = True,
    decay: bool = True,
    betas: tuple[float, float] = (0.9, 0.99),
    resample: Callable | None = None,
    resample_every: int = 0,
    resample_until: float = 0.7,
    snapshots: int = 0,
) -> History:
    """Train in place on `data` (n, instances, d_in), in order and round again.

    Args:
        normalise: keep decoder rows at length 1; the gradient along a row is removed first, since it would be undone.
        decay: let the learning rate fall to 0 along a cosine; without it the rate is constant.
        betas: of Adam; (0.9, 0.999) is torch's default, which forgets early, large gradients ten times more slowly.
        resample: called as `resample(sae, adam, dead, h)` every `resample_every` steps with the latents that have been
            silent since the last call, dead (instances, d_sae), and h (batch, instances, d_in); in place.
        resample_until: no resampling after this share of the steps, so that new latents have time to settle.
        snapshots: how many to keep in the history, evenly spaced.

    Raises:
        TrainingStopped: a gradient is NaN or infinite; says at which step and why that usually happens.
        ValueError: shapes that do not fit.
    """
    if data.dim() != 3 or data.shape[1:] != sae.b_dec.shape:
        raise ValueError(f"data should be (n, {', '.join(map(str, sae.b_dec.shape))}); it is {tuple(data.shape)}")
    pool, adam, history = data.transpose(0, 1).contiguous(), Adam(sae, betas), History()
    batch = min(batch, pool.shape[1])
    fired = torch.zeros_like(sae.b_enc, dtype=torch.bool)
    keep = {round(i * steps / snapshots) for i in range(1, snapshots + 1)} | {1} if snapshots else set()
    for step in range(1, steps + 1):
        start = (step - 1) * batch % (pool.shape[1] - batch + 1)
        h = pool[:, start : start + batch]
        named, z = gradients(sae, h, coefficient)
        if normalise:
            named["W_dec"] -= (named["W_dec"] * sae.W_dec).sum(-1, keepdim=True) * sae.W_dec
        try:
            share = 0.5 * (1 + math.cos(math.pi * (step - 1) / steps)) if decay else 1.0
            adam.step(named, learning_rate * share)
        except FloatingPointError:
            raise TrainingStopped(_cause(sae, h, step, learning_rate, normalise)) from None
        if normalise:
            sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True).clamp(min=1e-12))
        if resample or step in keep:
            active = (z != 0).float().mean(1)
            fired |= active > 0
        if resample and step % resample_every == 0 and step <= resample_until * steps:
            if (~fired).any():
                resample(sae, adam, ~fired, h.transpose(0, 1))
                history.resampled.append((step, ~fired))
            fired = torch.zeros_like(fired)
        if step in keep:
            history.step.append(step)
            history.active.append(active)
            history.l1.append(z.abs().sum(-1).mean().item())
            history.W_enc.append(sae.W_enc.clone())
            history.W_dec.append(sae.W_dec.clone())
            history.b_enc.append(sae.b_enc.clone())
            history.b_dec.append(sae.b_dec.clone())
    return history


def _cause(sae: SAE, h: Tensor, step: int, learning_rate: float, normalise: bool) -> str:
    if not torch.isfinite(h).all():
        bad = int((~torch.isfinite(h)).any(-1).sum())
        return f"Step {step}: {bad} rows of the data are not finite. Look at how the activations were made."
    largest = max(float(w.abs().nan_to_num(torch.inf).max()) for w in sae.weights().values())
    free = "" if normalise else " The decoder is not normalised, so nothing holds its length."
    return (
        f"Step {step}: the gradient is not finite; the largest weight is {largest:.3g}. Most likely the learning rate "
        f"({learning_rate:g}) is too high, or the data are not scaled to about 1.{free}"
    )
