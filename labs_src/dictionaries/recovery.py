"""Were the planted features found? And how sure is a difference over seeds?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from labs_src.dictionaries.sae import SAE


def cosines(directions: Tensor, W_dec: Tensor) -> Tensor:
    """(instances, n_features, d_in) and (instances, d_sae, d_in) to (instances, n_features, d_sae)."""
    unit = [W / W.norm(dim=-1, keepdim=True).clamp(min=1e-12) for W in (directions, W_dec)]
    return unit[0] @ unit[1].mT


def recovered(directions: Tensor, W_dec: Tensor, alive: Tensor, degrees: float = 10.0) -> Tensor:
    """Which features lie within `degrees` of the direction of a live latent: (instances, n_features), bool.

    The sign counts: a latent that points the other way reads nothing. alive: (instances, d_sae).
    """
    near = cosines(directions, W_dec) > math.cos(math.radians(degrees))
    return (near & alive[:, None]).any(-1)


def recovered_instances(directions: Tensor, W_dec: Tensor, alive: Tensor, degrees: float = 10.0) -> int:
    """In how many instances every feature is recovered."""
    return int(recovered(directions, W_dec, alive, degrees).all(-1).sum())


def mean_max_cosine(directions: Tensor, W_dec: Tensor) -> Tensor:
    """Mean over features of the cosine with the nearest latent: (instances,). Also called MMCS."""
    return cosines(directions, W_dec).amax(-1).mean(-1)


def matched(directions: Tensor, W_enc: Tensor, W_dec: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder and decoder direction of the latent nearest to each feature: twice (instances, n_features, d_in)."""
    nearest = cosines(directions, W_dec).argmax(-1)[..., None].expand_as(directions)
    return W_enc.mT.gather(1, nearest), W_dec.gather(1, nearest)


def refitted(sae: SAE, h: Tensor) -> Tensor:
    """h_hat with each row's own active latents, but their sizes fitted to the row by least squares.

    Args:
        sae: with one instance.
        h: (n, 1, d_in).
    """
    z, W, b = sae.encode(h)[:, 0], sae.W_dec[0], sae.b_dec[0]
    rows = []
    for row, on in zip(h[:, 0] - b, z != 0, strict=True):
        sizes = torch.linalg.lstsq(W[on].T, row[:, None]).solution
        rows.append((W[on].T @ sizes)[:, 0] + b)
    return torch.stack(rows)[:, None]


def explained_variance(h: Tensor, h_hat: Tensor) -> Tensor:
    """1 - |h - h_hat|^2 / |h - mean of h|^2, summed over d_in and the batch. (batch, ..., d_in) -> (...)."""
    residual = (h - h_hat).pow(2).sum((0, -1))
    return 1 - residual / (h - h.mean(0)).pow(2).sum((0, -1))


@dataclass(frozen=True)
class Scores:
    """Of every instance on held-out activations, (instances,) each.

    Attributes:
        features: share of the planted features recovered within 10 degrees.
        mmcs: mean max cosine of the planted features with the decoder.
        l0, l1: active latents, and their sum, in a row with at least one feature.
        dead: share of latents that never fire.
        explained_variance: of h.
    """

    features: Tensor
    mmcs: Tensor
    l0: Tensor
    l1: Tensor
    dead: Tensor
    explained_variance: Tensor

    @property
    def instances(self) -> int:
        """Instances in which every planted feature is recovered."""
        return int((self.features == 1).sum())

    def row(self) -> dict[str, float]:
        """Means over instances, rounded, for a table."""
        means = {
            k: round(float(getattr(self, k).mean()), 3) for k in ("features", "l0", "l1", "dead", "explained_variance")
        }
        return {"recovered instances": self.instances} | means


def scores(sae: SAE, h: Tensor, directions: Tensor) -> Scores:
    """Score `sae` on h (n, instances, d_in), not used in training, against directions (instances, n_features, d_in)."""
    z = sae.encode(h)
    alive = (z != 0).any(0)
    return Scores(
        features=recovered(directions, sae.W_dec, alive).float().mean(-1),
        mmcs=mean_max_cosine(directions, sae.W_dec),
        l0=(z != 0).float().sum(-1).mean(0),
        l1=z.abs().sum(-1).mean(0),
        dead=1 - alive.float().mean(-1),
        explained_variance=explained_variance(h, sae.decode(z)),
    )


def interval(values: Tensor, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of one number per seed, and Student's interval for it: (mean, low, high).

    For two ways tried on the same seeds pass the differences: what the seeds share then drops out.

    Raises:
        ValueError: fewer than two values.
    """
    from scipy.stats import t

    values = torch.as_tensor(values, dtype=torch.float64).flatten()
    if len(values) < 2:
        raise ValueError("An interval over seeds needs at least two seeds.")
    half = float(t.ppf(0.5 + level / 2, len(values) - 1)) * float(values.std()) / math.sqrt(len(values))
    mean = float(values.mean())
    return mean, mean - half, mean + half
