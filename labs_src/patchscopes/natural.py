"""What is natural: mean vectors, starting points, and how far a vector is from what the model makes of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@torch.no_grad()
def mean_vector(
    model: Any, hook: str, ids: Int[Tensor, "prompt position"], last: Int[Tensor, " prompt"], chunk: int = 32
) -> Float[Tensor, " d_model"]:
    """The post's mean vector: the state of each prompt's last token, averaged over prompts.

    Args:
        ids: padded on the right.
        last: position of each prompt's last token.
    """
    total, n = torch.zeros(()), len(ids)
    for part, end in zip(ids.split(chunk), last.split(chunk), strict=True):
        state = model.run_with_cache(part, names_filter=hook)[1][hook]
        total = total + state[torch.arange(len(part)), end].float().sum(0)
    return total / n


def starts(
    how: str,
    n: int,
    mean: Float[Tensor, " d_model"],
    rows: Float[Tensor, "token d_model"],
    generator: torch.Generator,
    jitter: float = 1.0,
) -> Float[Tensor, "n d_model"]:
    """Starting points for a search.

    Args:
        how: "mean" (n copies), "jittered" (the mean and noise with ``jitter`` times the spread of each dimension over
            natural rows), "natural" (random natural rows), or "gaussian" (random directions of natural length).
        mean: where "mean" and "jittered" start.
        rows: natural states.
        generator: fixes the draw.

    Raises:
        ValueError: another ``how``.
    """
    noise = torch.randn(n, mean.shape[0], generator=generator)
    match how:
        case "mean":
            return mean.repeat(n, 1)
        case "jittered":
            return mean + jitter * rows.std(0) * noise
        case "natural":
            return rows[torch.randint(len(rows), (n,), generator=generator)].clone()
        case "gaussian":
            return noise / noise.norm(dim=-1, keepdim=True) * rows.norm(dim=-1).mean()
    raise ValueError(f"no starting points {how!r}: use 'mean', 'jittered', 'natural' or 'gaussian'")


@dataclass(frozen=True)
class Natural:
    """Natural states of a hook point, to compare vectors with.

    Attributes:
        rows: [token, d_model].
        mean: [d_model].
        whiten: [d_model, d_model]; ``(x - mean) @ whiten`` has unit covariance over the rows, but for the shrinkage.
    """

    rows: Tensor
    mean: Tensor
    whiten: Tensor

    @classmethod
    def fit(cls, rows: Float[Tensor, "token d_model"], shrink: float = 1e-3) -> Natural:
        """Mean and covariance; ``shrink`` of the mean variance is added to every direction."""
        rows = rows.float()
        mean = rows.mean(0)
        centred = (rows - mean).double()
        cov = centred.T @ centred / max(1, len(rows) - 1)
        values, vectors = torch.linalg.eigh(cov)
        values = values.clamp(min=0) + shrink * values.mean()
        return cls(rows, mean, (vectors / values.sqrt()).float())

    def mahalanobis(self, x: Float[Tensor, "row d_model"]) -> Float[Tensor, " row"]:
        """Distance from the mean in units of natural spread, over the root of the dimension: natural rows: near 1."""
        return ((x - self.mean) @ self.whiten).norm(dim=-1) / self.mean.shape[0] ** 0.5

    def nearest_cosine(self, x: Float[Tensor, "row d_model"]) -> Float[Tensor, " row"]:
        """Cosine with the natural row that points most nearly the same way."""
        unit = torch.nn.functional.normalize(self.rows, dim=-1)
        return (torch.nn.functional.normalize(x, dim=-1) @ unit.T).amax(-1)

    def norm_ball(self, radius: float | None = None) -> Callable[[Tensor], Tensor]:
        """Projection: no vector longer than ``radius`` (the mean length of the natural rows if None)."""
        most = float(self.rows.norm(dim=-1).mean()) if radius is None else radius

        def project(x: Tensor) -> Tensor:
            return x * (most / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)

        return project

    def ellipsoid(self, radius: float = 1.0) -> Callable[[Tensor], Tensor]:
        """Pulls a vector towards the mean until its ``mahalanobis`` distance is at most ``radius``."""

        def project(x: Tensor) -> Tensor:
            return self.mean + (x - self.mean) * (radius / self.mahalanobis(x)[..., None].clamp(min=1e-12)).clamp(max=1)

        return project


def best_rows(
    value: Float[Tensor, " row"], rows: Float[Tensor, "row d_model"], k: int = 1
) -> Float[Tensor, "k d_model"]:
    """The rows with the highest value: the control for a search is to pick the best that there is."""
    return rows[value.topk(k).indices]
