"""Give dead latents a new direction: at random, or where the SAE does badly (Bricken et al. 2023).

A resampler is called by `training.train` as `resample(sae, adam, dead, h)` and changes the weights in place. It also
clears Adam's moments of the latents that it moves: old moments would push the new direction along an old gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from labs_src.dictionaries.sae import SAE, unit
from labs_src.dictionaries.training import Adam


def simple(seed: int = 0, scale: float = 0.5) -> Callable[[SAE, Adam, Tensor, Tensor], None]:
    """Random directions.

    Args:
        scale: length of a new encoder direction, relative to the mean length of the live ones.
    """
    g = torch.Generator().manual_seed(seed)

    def resample(sae: SAE, adam: Adam, dead: Tensor, h: Tensor) -> None:
        write(sae, adam, dead, unit(torch.randn(sae.W_dec.shape, generator=g)), scale)

    return resample


def by_loss(
    seed: int = 0, scale: float = 0.5, power: float = 1.0, reset: bool = True
) -> Callable[[SAE, Adam, Tensor, Tensor], None]:
    """Directions of inputs drawn with a probability proportional to their squared error to the `power`.

    Args:
        scale: as in `simple`.
        power: 1 draws in proportion to |h - h_hat|^2; Bricken et al. square the loss once more (2); 0 is any input.
        reset: clear Adam's moments; False shows what that does.
    """
    g = torch.Generator().manual_seed(seed)

    def resample(sae: SAE, adam: Adam, dead: Tensor, h: Tensor) -> None:
        probability = probabilities((h - sae.decode(sae.encode(h))).pow(2).sum(-1), power)
        uniforms = torch.rand(sae.b_enc.shape, generator=g)
        rows = pick(probability, uniforms)
        chosen = torch.stack([h[rows[i], i] for i in range(h.shape[1])])  # (instances, d_sae, d_in)
        write(sae, adam, dead, unit(chosen - sae.b_dec[:, None]), scale, reset)

    return resample


def probabilities(error: Tensor, power: float = 1.0) -> Tensor:
    """error^power over its sum. error: (batch, instances), squared; where all are 0, every row is as likely."""
    weight = error.double() ** power
    total = weight.sum(0)
    return torch.where(total > 0, weight / total.clamp(min=1e-300), torch.full_like(weight, 1 / len(weight)))


def pick(probability: Tensor, uniforms: Tensor) -> Tensor:
    """Rows drawn from `probability` (batch, instances) by uniform numbers (instances, draws): (instances, draws)."""
    edges = probability.double().cumsum(0).T.contiguous()
    return torch.searchsorted(edges, uniforms.double().contiguous(), right=True).clamp(max=len(probability) - 1)


def write(sae: SAE, adam: Adam, dead: Tensor, directions: Tensor, scale: float, reset: bool = True) -> None:
    """Put `directions` (instances, d_sae, d_in) into the dead latents, with no bias and no moments. In place."""
    alive = ~dead
    length = (sae.W_enc.norm(dim=1) * alive).sum(-1, keepdim=True) / alive.sum(-1, keepdim=True).clamp(min=1)
    length = torch.where(alive.any(-1, keepdim=True), length, torch.ones_like(length)) * scale
    mask = dead[..., None]
    sae.W_dec.copy_(torch.where(mask, directions, sae.W_dec))
    if not sae.tied:
        sae.W_enc.copy_(torch.where(mask, directions * length[..., None], sae.W_enc.mT).mT)
    sae.b_enc.masked_fill_(dead, 0.0)
    if reset:
        reset_moments(adam, dead)


def reset_moments(adam: Adam, dead: Tensor) -> None:
    """Zero both of Adam's moments wherever they belong to a dead latent (instances, d_sae). In place."""
    for moments in (adam.views(adam.m), adam.views(adam.v)):
        moments["b_enc"].masked_fill_(dead, 0.0)
        moments["W_dec"].masked_fill_(dead[..., None], 0.0)
        if "W_enc" in moments:
            moments["W_enc"].masked_fill_(dead[:, None], 0.0)
