"""Feature data of known truth: a feature is off, or on with a uniform magnitude (Elhage et al. 2022, arXiv 2209.10652).

A data set is described by `Features`: a probability for every instance and feature, and which features come in groups.
Samples have the shape [batch, instances, features]. Sparsity S of the paper is one minus the probability.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Features:
    """How often features are on, and which of them go together.

    Attributes:
        probability: [instances, features], in (0, 1].
        correlated: Groups of features that are on or off together, each with a magnitude of its own.
        anticorrelated: Groups of which at most one feature is on at a time.
    """

    probability: torch.Tensor
    correlated: Groups = ()
    anticorrelated: Groups = ()

    def __post_init__(self) -> None:
        p = self.probability
        if p.dim() != 2:
            raise ValueError(f"probability has the shape [instances, features]; got {tuple(p.shape)}. Use make(...).")
        if not bool(((p > 0) & (p <= 1)).all()):
            raise ValueError(
                "Every probability must lie above 0 and at most at 1: a feature that is never on has no data."
            )
        members = [i for group in self.correlated + self.anticorrelated for i in group]
        if len(set(members)) != len(members) or any(not 0 <= i < p.shape[1] for i in members):
            raise ValueError(f"Each feature 0..{p.shape[1] - 1} may be in one group only; got {members}.")
        for group in self.correlated + self.anticorrelated:
            inside = p[:, list(group)]
            if not bool((inside == inside[:, :1]).all()):
                raise ValueError(f"The features of group {group} need the same probability.")
        for group in self.anticorrelated:
            if float(p[:, group[0]].max()) * len(group) > 1:
                raise ValueError(
                    f"At most one of the {len(group)} features {group} may be on at a time, so their probability "
                    f"can be at most 1/{len(group)}; lower it."
                )

    @property
    def instances(self) -> int:
        return self.probability.shape[0]

    @property
    def n_features(self) -> int:
        return self.probability.shape[1]

    def repeat(self, times: int) -> Features:
        """The same data for `times` restarts: instances are repeated as a block."""
        return replace(self, probability=self.probability.repeat(times, 1))

    def sample(self, batch: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """[batch, instances, features] of zeros and uniform magnitudes.

        One draw u serves for both: u < p says whether the feature is on, and given that, u / p is uniform on [0, 1].
        (Returning u itself would tie the size of a feature to how rare it is.)
        """
        shape = (self.instances, batch, self.n_features)  # instances first in memory: one matrix each for the product
        x = torch.rand(shape, generator=generator).div_(self.probability[:, None, :])
        x.mul_(x < 1)
        if self.correlated or self.anticorrelated:
            self._tie(x, generator)
        return x.transpose(0, 1)

    def _tie(self, x: torch.Tensor, generator: torch.Generator | None) -> None:
        """Draw the groups' features anew, with one gate for each group. x: [instances, batch, features]."""
        for kind, groups in (("together", self.correlated), ("one", self.anticorrelated)):
            for group in groups:
                gate = torch.rand(x.shape[:2], generator=generator) / self.probability[:, group[:1]]
                for place, feature in enumerate(group):
                    start = place if kind == "one" else 0
                    on = (gate >= start) & (gate < start + 1)
                    x[..., feature] = torch.rand(on.shape, generator=generator) * on


def make(probability, n_features: int, *, correlated: Groups = (), anticorrelated: Groups = ()) -> Features:
    """Features with one probability for each instance (a list, tensor or number)."""
    p = torch.as_tensor(probability, dtype=torch.float32).reshape(-1, 1)
    return Features(p.expand(-1, n_features).contiguous(), correlated, anticorrelated)


def pairs(n_features: int) -> Groups:
    """(0, 1), (2, 3), ..: neighbours as groups of two."""
    return tuple((i, i + 1) for i in range(0, n_features - 1, 2))


def sweep(instances: int, lowest: float) -> torch.Tensor:
    """Probabilities from 1 down to `lowest`, evenly spaced in the logarithm."""
    return torch.logspace(0, torch.log10(torch.tensor(lowest)).item(), instances).clamp(max=1.0)
