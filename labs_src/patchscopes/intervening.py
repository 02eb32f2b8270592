"""Holding a latent or a neuron on or off: in given text, and while text is being generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Hook = tuple[str, Callable[..., Tensor | None]]


@torch.no_grad()
def generate(
    model: Any, ids: Int[Tensor, "row position"], n_tokens: int, hooks: Sequence[Hook] = ()
) -> Int[Tensor, "row n_tokens"]:
    """Greedy continuation with hooks in place at every step (``held_latent``, ``held_neuron``)."""
    length = ids.shape[1]
    for _ in range(n_tokens):
        ids = torch.cat([ids, model.run_with_hooks(ids, fwd_hooks=list(hooks))[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids[:, length:]


def held_latent(dictionary: Any, latent: int, value: float, first: int = 1) -> Hook:
    """A latent at ``value`` (0 suppresses it) at every token from position ``first`` on; the rest of x stays."""

    def hold(x: Tensor, hook: Any) -> Tensor:
        z = dictionary.encode(x.float())[..., latent]
        change = (value - z)[..., None] * dictionary.W_dec[latent]
        change[:, :first] = 0
        return x + change.to(x.dtype)

    return dictionary.hook, hold


def held_neuron(layer: int, neuron: int, value: float, first: int = 1) -> Hook:
    """A neuron at ``value`` (0 suppresses it) at every token from position ``first`` on."""

    def hold(post: Tensor, hook: Any) -> Tensor:
        post = post.clone()
        post[:, first:, neuron] = value
        return post

    return f"blocks.{layer}.mlp.hook_post", hold


def pushed(hook: str, push: Float[Tensor, " d_model"], first: int = 1) -> Hook:
    """The same vector added at every token from position ``first`` on: the control for a held latent."""

    def add(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        x[:, first:] += push.to(x.dtype)
        return x

    return hook, add


@torch.no_grad()
def neuron_activations(
    model: Any, ids: Int[Tensor, "text position"], layer: int, hooks: Sequence[Hook] = (), chunk: int = 64
) -> Float[Tensor, "text position neuron"]:
    """Every neuron of a layer at every token, with hooks in place."""
    parts: list[Tensor] = []
    name = f"blocks.{layer}.mlp.hook_post"
    for part in ids.split(chunk):
        read = (name, lambda post, hook: parts.append(post.float()))
        model.run_with_hooks(part, fwd_hooks=[*hooks, read], stop_at_layer=layer + 1)
    return torch.cat(parts)
