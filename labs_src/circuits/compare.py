"""How much each head of a model was changed by further training.

Query heads of a group share keys and values, so only the query rows and the output columns belong to one head:

    change(head) = sqrt(|dW_Q|^2 + |dW_O|^2) / sqrt(|W_Q|^2 + |W_O|^2)      Frobenius norms, d = tuned - base

Weights are compared with the norms around attention folded in: what a gain took over from a column is no change.
Source: the errata ("base vs -it weight diff").
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import folding
from labs_src.circuits.folding import Folded


def head_change(base: Folded, tuned: Folded) -> Float[Tensor, " head"]:
    """Relative change of each query head of a layer, by the formula above.

    Raises:
        ValueError: the layers differ in shape.
    """
    if base.W_Q.shape != tuned.W_Q.shape or base.W_O.shape != tuned.W_O.shape:
        raise ValueError(
            f"the two models' heads differ in shape, {tuple(base.W_Q.shape)} and {tuple(tuned.W_Q.shape)}: "
            "compare a model with one that was trained on from it"
        )

    def squared(part: Tensor) -> Tensor:
        return part.pow(2).sum((1, 2))

    moved = squared(tuned.W_Q - base.W_Q) + squared(tuned.W_O - base.W_O)
    return (moved / (squared(base.W_Q) + squared(base.W_O))).sqrt()


def group_change(base: Folded, tuned: Folded) -> Float[Tensor, " kv"]:
    """The same for the keys and values that a group of heads shares."""
    moved = (tuned.W_K - base.W_K).pow(2).sum((1, 2)) + (tuned.W_V - base.W_V).pow(2).sum((1, 2))
    return (moved / (base.W_K.pow(2).sum((1, 2)) + base.W_V.pow(2).sum((1, 2)))).sqrt()


def stored(model: Any, layer: int, gain: str = "1+gamma") -> dict[str, Float[Tensor, "out in"]]:
    """q_proj, k_proj, v_proj and o_proj of a layer as Gemma stores them, (out, in), norms around attention folded in.

    Args:
        model: a raw-weight bridge of a Gemma-2. layer: from 0.
        gain: as for `models`.
    """
    f = folding.fold(model, layer, gain=gain, post=gain)
    rows = {"q_proj": f.W_Q, "k_proj": f.W_K, "v_proj": f.W_V}
    found = {name: w.transpose(1, 2).flatten(0, 1).contiguous() for name, w in rows.items()}
    return found | {"o_proj": f.W_O.flatten(0, 1).T.contiguous()}


@torch.no_grad()
def models(base: Any, tuned: Any, gain: str = "1+gamma") -> Float[Tensor, "layer head"]:
    """`head_change` for every layer of two raw-weight bridges of Gemma-2.

    Args:
        base, tuned: the models.
        gain: of the norms around attention, one of `folding.GAINS`; "none" compares stored matrices.
    """
    layers = range(folding.n_layers(base))
    return torch.stack([
        head_change(*(folding.fold(model, layer, gain=gain, post=gain) for model in (base, tuned))) for layer in layers
    ])  # fmt: skip
