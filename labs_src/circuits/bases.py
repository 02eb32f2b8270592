"""Bases: directions of the residual stream that have a meaning, and codes of a vector in them.

A basis says x = codes @ directions + bias, more or less. Rows of ``directions`` have root mean square 1 (norm
sqrt(d_model)), so that B of one basis can be compared with B of another.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from labs_src.dictionaries.gemma_scope import Dictionary


@dataclass(frozen=True)
class Basis:
    """Directions with a name.

    Attributes:
        name: for tables and legends.
        directions: [F, d_model], rows of root mean square 1.
        bias: [d_model]; what is always there, the decoder bias of a dictionary, else zeros.
        labels: a word for each direction, or None.
        coder: gives codes, called by ``encode``.
    """

    name: str
    directions: Float[Tensor, "F d_model"]
    bias: Float[Tensor, " d_model"]
    labels: list[str] | None = None
    coder: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.directions)

    def encode(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows F"]:
        """Codes of raw residual vectors, so that ``codes @ directions + bias`` is near x.

        Without a coder of its own a basis projects: codes = (x - bias) @ directions.T / F, which gives x back if the
        directions point everywhere equally.
        """
        if self.coder is not None:
            return self.coder(x.float())
        return (x.float() - self.bias) @ self.directions.T / len(self)

    def decode(self, codes: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows d_model"]:
        """The vectors that codes stand for, bias included."""
        return codes @ self.directions + self.bias

    def subset(self, n: int, seed: int = 0) -> tuple[Basis, Tensor]:
        """A random subset of the directions, and which they are [n]; codes are those of the whole basis, cut.

        Raises:
            ValueError: more than there are.
        """
        if not 0 < n <= len(self):
            raise ValueError(f"basis {self.name!r} has {len(self)} directions; a subset of {n} cannot be drawn")
        kept = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n].sort().values
        labels = [self.labels[i] for i in kept.tolist()] if self.labels else None
        part = replace(
            self,
            name=f"{n} of {self.name}",
            directions=self.directions[kept],
            labels=labels,
            coder=lambda x: self.encode(x)[..., kept],
        )
        return part, kept


def unit_rms(rows: Float[Tensor, "F d_model"]) -> Float[Tensor, "F d_model"]:
    """Rows scaled to root mean square 1; a row of zeros stays one."""
    return rows * (rows.shape[-1] ** 0.5 / rows.norm(dim=-1, keepdim=True).clamp(min=1e-12))


def from_dictionary(dictionary: Dictionary, name: str = "", labels: list[str] | None = None) -> Basis:
    """Decoder rows of a dictionary with its encoder; codes are scaled so that decoding gives what the dictionary gives.

    Args:
        dictionary: reads activations unscaled, as Gemma Scope's do.
        name: by default its hook point.
        labels: a word for each latent.
    """
    length = dictionary.W_dec.norm(dim=1) / dictionary.d_in**0.5
    return Basis(
        name or dictionary.hook or "dictionary",
        dictionary.basis(),
        dictionary.b_dec,
        labels,
        lambda x: dictionary.encode(x) * length,
    )


def from_tokens(model: Any, centred: bool = True, with_mean: bool = False) -> Basis:
    """Token embeddings as a basis, without any dictionary. Codes are projections.

    Args:
        model: a raw-weight bridge, or a Hugging Face model; tied or not, the input embedding is used.
        centred: subtract the mean embedding, as the errata does. What attention reads along the mean is then lost.
        with_mean: add the mean embedding as a direction of its own, last; its code is the exact coefficient, and the
            other codes are projections of what remains.

    Raises:
        ValueError: with_mean of a basis that is not centred.
    """
    if with_mean and not centred:
        raise ValueError("with_mean=True adds back what centring takes away; use it with centred=True")
    hf = getattr(model, "original_model", model)
    rows = hf.get_input_embeddings().weight.detach().float()
    mean = rows.mean(0)
    directions = unit_rms(rows - mean if centred else rows)
    zeros = torch.zeros_like(mean)
    if not with_mean:
        return Basis("tokens" if centred else "raw tokens", directions, zeros)
    m = unit_rms(mean[None])

    def coder(x: Tensor) -> Tensor:
        along = x @ m.T / m.shape[1]
        return torch.cat([(x - along @ m) @ directions.T / len(directions), along], -1)

    return Basis("tokens and mean", torch.cat([directions, m]), zeros, coder=coder)


def random_basis(n: int, d_model: int, seed: int = 0) -> Basis:
    """Random directions with projection codes: the control for a basis without a dictionary."""
    rows = torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed))
    return Basis("random directions", unit_rms(rows), torch.zeros(d_model))


def entering(layer: int, known: Container[str] | None = None) -> str:
    """Hook point of the dictionary that reads what enters a layer, by Gemma Scope's names.

    Args:
        layer: from 0.
        known: the hook points that there are. Gemma Scope has none before layer 0; then that after layer 0 is used,
            as the errata does.
    """
    if layer:
        return f"blocks.{layer - 1}.hook_resid_post"
    before = "blocks.0.hook_resid_pre"
    return before if known is None or before in known else leaving(0)


def leaving(layer: int) -> str:
    """Hook point of the dictionary that reads what leaves a layer."""
    return f"blocks.{layer}.hook_resid_post"
