"""What a vector is made of, by a dictionary; and whether different searches found the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.patchscopes.search import Targets


def top_latents(z: Float[Tensor, "row latent"], k: int = 10) -> Int[Tensor, "row k"]:
    """The most active latents of each row, -1 where fewer are active."""
    values, index = z.topk(min(k, z.shape[-1]), dim=-1)
    return index.masked_fill(values <= 0, -1)


def top_agreement(z: Float[Tensor, "restart latent"]) -> float:
    """Share of pairs of restarts with the same most active latent; a row without active latents agrees with none."""
    top = top_latents(z, 1)[:, 0]
    same = (top[:, None] == top) & (top >= 0)
    n = len(top)
    return float((same.sum() - same.diagonal().sum()) / max(1, n * (n - 1)))


def attribution(
    z: Float[Tensor, "row latent"], W_dec: Float[Tensor, "latent d_model"], gradient: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row latent"]:
    """To first order, what each latent's part of the row gives to the value whose gradient this is."""
    return z * (gradient @ W_dec.T)


def targets_with(
    model: Any,
    hook: str,
    ids: Int[Tensor, "text position"],
    x: Float[Tensor, "text position d_model"],
    at: Int[Tensor, " text"],
    targets: Targets,
) -> Float[Tensor, " text"]:
    """The target of each text at its place when x stands at the hook point; differentiable in x."""
    kept: dict[int, Tensor] = {}

    def keeper(layer: int) -> Callable[..., None]:
        def keep(value: Tensor, hook: Any) -> None:
            kept[layer] = value.float()

        return keep

    layers = sorted({layer for layer, _ in targets})
    hooks = [(hook, lambda value, hook: x.to(value.dtype))]
    hooks += [(f"blocks.{layer}.mlp.hook_post", keeper(layer)) for layer in layers]
    model.run_with_hooks(ids, fwd_hooks=hooks, stop_at_layer=layers[-1] + 1)
    return torch.stack([kept[layer][i, at[i], neuron] for i, (layer, neuron) in enumerate(targets)])


def target_gradients(
    model: Any,
    hook: str,
    ids: Int[Tensor, "text position"],
    x: Float[Tensor, "text position d_model"],
    at: Int[Tensor, " text"],
    targets: Targets,
) -> Float[Tensor, "text position d_model"]:
    """Gradient of each text's target by everything that stands at the hook point."""
    x = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        value = targets_with(model, hook, ids, x, at, targets).sum()
        return torch.autograd.grad(value, x)[0]


@torch.no_grad()
def drops(
    model: Any,
    dictionary: Any,
    ids: Int[Tensor, "text position"],
    x: Float[Tensor, "text position d_model"],
    at: Int[Tensor, " text"],
    targets: Targets,
    latents: Sequence[Sequence[int]],
) -> tuple[Float[Tensor, " text"], Float[Tensor, " text"]]:
    """Each text's target before and after its latents are taken out at its place; the dictionary's error stays.

    Args:
        latents: which ones, for each text.
    """
    rows = torch.arange(len(ids))
    z = dictionary.encode(x[rows, at])
    keep = torch.zeros_like(z)
    for i, chosen in enumerate(latents):
        keep[i, list(chosen)] = z[i, list(chosen)]
    less = x.clone()
    less[rows, at] -= keep @ dictionary.W_dec
    return tuple(targets_with(model, dictionary.hook, ids, v, at, targets) for v in (x, less))
