"""What a W [.., d_hidden, n_features] looks like: norms, interference, dimensionality, neurons, phases."""

from __future__ import annotations

import torch

PHASES = ("not represented", "own dimension", "superposed")
TINY = 1e-6  # below this length a column has no direction


def norms(W: torch.Tensor) -> torch.Tensor:
    """Length of each feature's direction: [.., n_features]."""
    return W.norm(dim=-2)


def kept(W: torch.Tensor, threshold: float = 0.9) -> torch.Tensor:
    """How many features have a norm above the threshold: [..]."""
    return (norms(W) > threshold).sum(-1)


def unit(W: torch.Tensor) -> torch.Tensor:
    """Columns of length 1; columns without a direction become zero."""
    length = W.norm(dim=-2, keepdim=True)
    return torch.where(length > TINY, W / length.clamp(min=TINY), torch.zeros_like(W))


def cosines(W: torch.Tensor) -> torch.Tensor:
    """Cosine of every two features: [.., n_features, n_features]."""
    directions = unit(W)
    return directions.mT @ directions


def interference(W: torch.Tensor) -> torch.Tensor:
    """sum over j != i of (unit W_i . W_j)^2, how much the others load on feature i's direction: [.., n_features]."""
    overlap = (unit(W).mT @ W) ** 2
    return overlap.sum(-1) - overlap.diagonal(dim1=-2, dim2=-1)


def dimensionality(W: torch.Tensor) -> torch.Tensor:
    """D_i = |W_i|^2 / sum_j (unit W_i . W_j)^2, feature i's share of a dimension, 0 to 1: [.., n_features]."""
    total = ((unit(W).mT @ W) ** 2).sum(-1)
    return torch.where(total > TINY**2, norms(W) ** 2 / total.clamp(min=TINY**2), torch.zeros_like(total))


def max_abs_cosine(W: torch.Tensor, threshold: float = 0.9) -> torch.Tensor:
    """Largest |cosine| of two different features that are kept: [..]; 0 where fewer than two are."""
    on = norms(W) > threshold
    both = (on[..., :, None] & on[..., None, :]).float()
    index = torch.arange(W.shape[-1])
    both[..., index, index] = 0
    return (cosines(W).abs() * both).amax((-2, -1))


def features_per_neuron(W: torch.Tensor, threshold: float = 0.3) -> torch.Tensor:
    """How many features each hidden unit responds to with |weight| above the threshold: [.., d_hidden]."""
    return (W.abs() > threshold).sum(-1)


def axis_alignment(W: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Mean over represented features of max_k |W_ki| / |W_i|: 1 when every feature lies on one hidden unit. [..]"""
    on = (norms(W) > threshold).float()
    return (unit(W).abs().amax(-2) * on).sum(-1) / on.sum(-1).clamp(min=1)


def rotation(angle: torch.Tensor) -> torch.Tensor:
    """2-D rotations by angles in radians: [.., 2, 2]."""
    c, s = angle.cos(), angle.sin()
    return torch.stack((torch.stack((c, -s), -1), torch.stack((s, c), -1)), -2)


def phase(W: torch.Tensor, feature: int, threshold: float = 0.5) -> torch.Tensor:
    """Index into PHASES for one feature: represented or not, and if so whether it shares its direction. [..]"""
    represented = norms(W)[..., feature] > threshold
    shared = interference(W)[..., feature] > threshold**2
    return torch.where(represented, torch.where(shared, 2, 1), 0)


def predicted_phase(probability: torch.Tensor, relative_importance: torch.Tensor) -> torch.Tensor:
    """Index into PHASES of the second of two features in one dimension, by comparing closed-form losses.

    Args:
        probability: Of both features.
        relative_importance: The second feature's over the first's.
    """
    from labs_src.superposition.losses import critical_probability

    smaller = torch.minimum(relative_importance, 1 / relative_importance)
    share = probability < critical_probability(smaller)
    return torch.where(share, 2, torch.where(relative_importance > 1, 1, 0))
