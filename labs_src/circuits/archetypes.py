"""Names for heads by thresholds on their metrics, tested in order; the first that fits is the name.

Thresholds are the errata's. They depend on the scale of B: rescaled random heads change their name (see
``baselines``), so a name without its baseline says little.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import metrics

ROUTING = ("self_match", "selective_cross", "diffuse", "repulsion", "mixed")
WRITING = ("copy", "transform", "broadcast", "suppress", "diffuse")


def top_mass(B: Float[Tensor, "F G"], k: int = 5) -> float:
    """Mean over rows of the softmax weight on the k strongest keys."""
    return float(B.softmax(-1).topk(min(k, B.shape[-1]), -1).values.sum(-1).mean())


def routing(B: Float[Tensor, "F F"]) -> str:
    """One of ``ROUTING``: how a head looks.

    self_match: diagonal dominance > 0.3 and mean diagonal of B > 0.5. selective_cross: selectivity > 0.15 and dominance
    < 0.1. diffuse: softmax mass of the five strongest keys < 0.1. repulsion: smallest entry < -0.5. Else mixed.
    """
    dominance = metrics.diagonal_dominance(B)
    if dominance > 0.3 and float(B.diagonal().mean()) > 0.5:
        return "self_match"
    if metrics.selectivity(B) > 0.15 and dominance < 0.1:
        return "selective_cross"
    if top_mass(B) < 0.1:
        return "diffuse"
    return "repulsion" if float(B.min()) < -0.5 else "mixed"


def writing(W2F: Float[Tensor, "F F"]) -> str:
    """One of ``WRITING``: what a head does with what it reads.

    copy: copy dominance > 0.3 and copy score > 0.3. transform: largest off-diagonal entry > 0.5. broadcast: largest
    column sum > 3 times the copy score. suppress: strongest negative off-diagonal entry > 0.5. Else diffuse.
    """
    m = metrics.writing(W2F)
    if m["copy_dominance"] > 0.3 and m["copy_score"] > 0.3:
        return "copy"
    if m["transform"] > 0.5:
        return "transform"
    if m["broadcast"] > 3 * m["copy_score"]:
        return "broadcast"
    return "suppress" if m["suppression"] > 0.5 else "diffuse"
