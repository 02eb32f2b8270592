"""Letting the model say what a vector means: greedy decoding, contrasted with the same text around another vector."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.patchscopes.search import Site


def contrast(signal: Tensor, noise: Tensor, alpha: float | Tensor) -> Tensor:
    """L_act + alpha (L_act - L_mean), of logits [..., token]."""
    return signal + alpha * (signal - noise)


@torch.no_grad()
def next_logits(site: Site, x: Float[Tensor, "row d_model"]) -> Float[Tensor, "row token"]:
    """Logits of what follows the site's prompt, with each vector at the placeholder."""
    return site.model.run_with_hooks(site.ids.expand(len(x), -1), fwd_hooks=[site.put(x)])[:, -1].float()


@torch.no_grad()
def contrastive(
    site: Site,
    signal: Float[Tensor, "row d_model"],
    noise: Float[Tensor, "row d_model"] | Float[Tensor, " d_model"],
    alpha: float | Float[Tensor, " row"] = 1.5,
    n_tokens: int = 20,
) -> Int[Tensor, "row n_tokens"]:
    """Greedy continuation of the site's prompt with each vector at the placeholder, against the same with the noise.

    Args:
        site: its prompt may go on after the placeholder.
        alpha: 1.5 in the post; 0 leaves the contrast out. One number, or one for each row.
    """
    rows = len(signal)
    noise = noise.expand(rows, -1)
    weight = torch.as_tensor(alpha, dtype=torch.float).expand(rows)[:, None]
    ids = site.ids.repeat(rows, 1)
    for _ in range(n_tokens):
        runs = [site.model.run_with_hooks(ids, fwd_hooks=[site.put(v)])[:, -1].float() for v in (signal, noise)]
        ids = torch.cat([ids, contrast(*runs, weight).argmax(-1, keepdim=True)], dim=1)
    return ids[:, site.ids.shape[1] :]
