"""Observational labels against causal ones: where a latent fires, and where taking it out changes the target.

An observational label says where a latent fires. A causal label says where a *target* loses something when the latent
is suppressed; it is chosen by the same search, on the drops in place of the activations. It belongs to the pair of
latent and target: another target may read the same latent for another reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.patchscopes import intervening

if TYPE_CHECKING:
    import pandas as pd

LEAST = 0.05
"""A drop counts from this share of the target's natural maximum on."""

KEEPS = 0.5
"""A label disagrees with the interventions if it covers less than this share of the total drop."""


@dataclass(frozen=True)
class Claim:
    """A latent, what somebody says it means, and the neuron that reads it."""

    latent: int
    label: str
    layer: int
    neuron: int


@torch.no_grad()
def suppression(
    model: Any, dictionary: Any, ids: Tensor, claims: Sequence[Claim], chunk: int = 64
) -> tuple[Float[Tensor, "text position claim"], Float[Tensor, " claim"]]:
    """What each claim's target loses at each token when its latent is held at 0, and the target's maximum here.

    ``<bos>`` loses nothing by definition.
    """
    layers = sorted({c.layer for c in claims})
    whole = {layer: intervening.neuron_activations(model, ids, layer, chunk=chunk) for layer in layers}
    drops = []
    for claim in claims:
        off = intervening.held_latent(dictionary, claim.latent, 0.0)
        without = intervening.neuron_activations(model, ids, claim.layer, [off], chunk)
        drops.append((whole[claim.layer] - without)[..., claim.neuron])
    out = torch.stack(drops, -1)
    out[:, 0] = 0
    return out, torch.stack([whole[c.layer][:, 1:, c.neuron].max() for c in claims])


def coverage(drop: Float[Tensor, "text position"], label: Tensor) -> float:
    """Share of all that the target loses (gains left out) that it loses at the label's tokens; 0 of nothing."""
    lost = drop.clamp(min=0)
    return float((lost * label).sum() / lost.sum().clamp(min=1e-12))


def report(
    text: Any,
    drops: Float[Tensor, "text position claim"],
    maxima: Float[Tensor, " claim"],
    claims: Sequence[Claim],
    sets: int = 2,
) -> pd.DataFrame:
    """A row for each claim: what its label covers, the causal label, and whether the two disagree.

    Args:
        text: what is known of each token (``corpus.Corpus``), for the search of labels.
        drops, maxima: from ``suppression``.
        sets: causal labels name up to so many values.

    Returns:
        columns latent, target, observational, causal (empty where too little is lost to say), covered, covered_causal,
        lost (mean loss over the tokens where it counts, as a share of the target's maximum), tokens, disagrees,
        evidence.
    """
    import pandas as pd

    from labs_src.dictionaries import labelling

    families = labelling.singles(text)
    counting = torch.where(drops > LEAST * maxima, drops, torch.zeros(()))
    found = labelling.label(counting, text, pairs=False, sets=sets).set_index("index")
    rows = []
    for i, claim in enumerate(claims):
        where = labelling.where(text, claim.label, families)
        covered, n = coverage(drops[..., i], where), int((counting[..., i] > 0).sum())
        causal = str(found.description[i]) if i in found.index else ""
        better = coverage(drops[..., i], labelling.where(text, causal, families)) if causal else 0.0
        lost = float(counting[..., i].sum() / max(n, 1) / maxima[i])
        disagrees = bool(causal) and covered < KEEPS and better > covered
        evidence = (
            f"{n} tokens lose {lost:.0%} of the target's maximum on average; {covered:.0%} of the loss is at "
            f"“{claim.label}”" + (f", {better:.0%} at “{causal}”" if causal else "; too few to say where")
        )
        rows.append(
            {
                "latent": claim.latent, "target": f"L{claim.layer}N{claim.neuron}", "observational": claim.label,
                "causal": causal, "covered": covered, "covered_causal": better, "lost": lost, "tokens": n,
                "disagrees": disagrees, "evidence": evidence,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
