"""Is the latent necessary? Chosen on one part of a text, taken out on another, with a control beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labs_src.patchscopes import decomposing
from labs_src.patchscopes.search import Targets


def strong_places(
    post: Float[Tensor, "text position"], least: float, use: Bool[Tensor, " text"], most: int, before: int = 64
) -> Int[Tensor, "place 2"]:
    """Up to ``most`` places (text, position) where a neuron exceeds ``least``, spread evenly over the text.

    Args:
        use: texts that may be used.
        before: only positions before this one, so that shorter texts can be run; ``<bos>`` is left out.
    """
    on = post > least
    on[:, 0], on[:, before:], on[~use] = False, False, False
    found = on.nonzero()
    return found[torch.linspace(0, len(found) - 1, min(most, len(found))).long()]


def attributions(
    model: Any,
    dictionary: Any,
    ids: Int[Tensor, "text position"],
    x: Float[Tensor, "text position d_model"],
    places: Sequence[Int[Tensor, "place 2"]],
    targets: Targets,
) -> tuple[Float[Tensor, "target latent"], Float[Tensor, "target latent"], Float[Tensor, "target latent"]]:
    """For each target, at its places: mean attribution of each latent, its mean activation, and how often it is active.

    Args:
        x: what stands at the dictionary's hook point.
        places: of each target.
    """
    rows, at, which = _joined(places)
    length = int(at.max()) + 1
    each = [targets[i] for i in which.tolist()]
    gradient = decomposing.target_gradients(model, dictionary.hook, ids[rows, :length], x[rows, :length], at, each)
    z = dictionary.encode(x[rows, at])
    given = decomposing.attribution(z, dictionary.W_dec, gradient[torch.arange(len(rows)), at])
    means = [torch.stack([v[which == i].mean(0) for i in range(len(targets))]) for v in (given, z, (z > 0).float())]
    return means[0], means[1], means[2]


def lost(
    model: Any,
    dictionary: Any,
    ids: Int[Tensor, "text position"],
    x: Float[Tensor, "text position d_model"],
    places: Sequence[Int[Tensor, "place 2"]],
    targets: Targets,
    latents: Sequence[Sequence[int]],
) -> Float[Tensor, " target"]:
    """Share of each target's activation at its places that is lost without its latents; mean over the places.

    Args:
        latents: of each target, taken out together.
    """
    rows, at, which = _joined(places)
    length = int(at.max()) + 1
    each, chosen = zip(*((targets[i], latents[i]) for i in which.tolist()))
    before, after = decomposing.drops(model, dictionary, ids[rows, :length], x[rows, :length], at, each, chosen)
    share = (before - after) / before
    return torch.stack([share[which == i].mean() for i in range(len(targets))])


def _joined(places: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Texts and positions of all places, and whose they are.

    Raises:
        ValueError: a target has no place.
    """
    if empty := [i for i, p in enumerate(places) if not len(p)]:
        raise ValueError(
            f"target {empty[0]} has no place in this text where it is strong: use more text, or another target"
        )
    which = torch.repeat_interleave(torch.arange(len(places)), torch.tensor([len(p) for p in places]))
    return *torch.cat(list(places)).T, which
