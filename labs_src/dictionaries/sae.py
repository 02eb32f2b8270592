"""A sparse autoencoder (seed 002), many instances in one tensor, trained with gradients written out by hand.

    pre = (h - b_dec) @ W_enc + b_enc        z = activation(pre)        h_hat = z @ W_dec + b_dec
    loss = mean over the batch of  sum over d_in of (h_hat - h)^2  +  l1_coefficient * sum over latents of |z|

Shapes follow sae-lens with an instances axis in front: W_enc (instances, d_in, d_sae), W_dec (instances, d_sae, d_in).
Activations are (batch, instances, d_in). A row of W_dec is a latent's direction. Papers: Bricken et al. 2023 (L1,
decoder of unit norm, resampling), Gao et al. 2024 (TopK), Rajamanoharan et al. 2024 (JumpReLU).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ACTIVATIONS = ("relu", "linear", "topk", "jumprelu")
BANDWIDTH = 0.05  # width of the window in which JumpReLU's threshold feels a gradient


@dataclass
class SAE:
    """Weights of all instances. With `tied`, W_enc is a view of W_dec and has no weights of its own. Without `centred`
    the encoder reads h as it stands: pre = h @ W_enc + b_enc."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    activation: str = "relu"
    k: int = 0
    threshold: Tensor | None = None  # (instances, d_sae), JumpReLU only
    tied: bool = False
    centred: bool = True

    def encode(self, h: Tensor) -> Tensor:
        """h: (batch, instances, d_in). Returns the latents z: (batch, instances, d_sae)."""
        read = h - self.b_dec if self.centred else h
        pre = torch.einsum("bid,ids->bis", read, self.W_enc) + self.b_enc
        return activate(pre, self)

    def decode(self, z: Tensor) -> Tensor:
        """z: (batch, instances, d_sae). Returns h_hat: (batch, instances, d_in)."""
        return torch.einsum("bis,isd->bid", z, self.W_dec) + self.b_dec

    def weights(self) -> dict[str, Tensor]:
        """What is trained, by name."""
        named = {"W_enc": self.W_enc, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec}
        if self.tied:
            del named["W_enc"]
        return named | ({"threshold": self.threshold} if self.activation == "jumprelu" else {})


def activate(pre: Tensor, sae: SAE) -> Tensor:
    """The activation of `sae` on pre-activations (..., instances, d_sae)."""
    if sae.activation == "linear":
        return pre
    if sae.activation == "topk":
        top = pre.topk(sae.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
    if sae.activation == "jumprelu":
        return pre * (pre > sae.threshold)
    return pre.relu()


def new_sae(
    instances: int,
    d_in: int,
    d_sae: int,
    seed: int = 0,
    *,
    tied: bool = False,
    activation: str = "relu",
    k: int = 0,
    aligned: bool = False,
) -> SAE:
    """Random decoder directions of length 1, biases zero.

    Args:
        tied: the encoder is the decoder, transposed, for ever.
        aligned: the encoder starts as the decoder, transposed, and is then free.

    Raises:
        ValueError: an unknown activation, or TopK without a k from 1 to d_sae.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"There is no activation {activation!r}: use one of {', '.join(ACTIVATIONS)}.")
    if activation == "topk" and not 1 <= k <= d_sae:
        raise ValueError(f"TopK needs k from 1 to d_sae = {d_sae}, not {k}.")
    g = torch.Generator().manual_seed(seed)
    W_dec, W_enc = (unit(torch.randn(instances, d_sae, d_in, generator=g)) for _ in range(2))
    W_enc = (W_dec if tied else W_dec.clone() if aligned else W_enc).mT
    threshold = torch.full((instances, d_sae), 0.1) if activation == "jumprelu" else None
    b_enc, b_dec = torch.zeros(instances, d_sae), torch.zeros(instances, d_in)
    return SAE(W_enc if tied else W_enc.contiguous(), b_enc, W_dec, b_dec, activation, k, threshold, tied)


def together(saes: list[SAE]) -> SAE:
    """The instances of several SAEs of one kind as one SAE, so that they train in one run."""
    first = saes[0]
    parts = {name: torch.cat([sae.weights()[name] for sae in saes]) for name in first.weights()}
    W_enc = parts["W_dec"].mT if first.tied else parts.pop("W_enc")
    return SAE(W_enc, **parts, activation=first.activation, k=first.k, tied=first.tied, centred=first.centred)


def unit(W: Tensor) -> Tensor:
    """Rows (the last axis) divided by their length."""
    return W / W.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def gradients(sae: SAE, h: Tensor, coefficient: float) -> tuple[dict[str, Tensor], Tensor]:
    """Loss gradients by name, and the latents, for one batch h: (instances, batch, d_in).

    `coefficient` multiplies sum |z| (ReLU, linear) or the number of active latents (JumpReLU); TopK has no penalty.
    """
    batch = h.shape[1]
    centred = h - sae.b_dec[:, None]
    read = centred if sae.centred else h
    pre = torch.baddbmm(sae.b_enc[:, None], read, sae.W_enc)
    z = activate(pre.transpose(0, 1), sae).transpose(0, 1)  # the activation wants the instances second
    error = torch.baddbmm(-centred, z, sae.W_dec)  # h_hat - h, since both carry b_dec
    d_out = error * (2 / batch)  # d loss / d h_hat
    d_z = torch.bmm(d_out, sae.W_dec.mT)  # through the decoder ...
    if sae.activation in ("relu", "linear"):
        d_z = d_z + coefficient / batch * z.sign()  # ... and through |z|, whose slope at 0 is taken as 0
    d_pre = d_z if sae.activation == "linear" else d_z * (z != 0)  # a silent latent passes nothing on
    d_W_enc, d_W_dec = torch.bmm(read.mT, d_pre), torch.bmm(z.mT, d_out)
    named = {"b_enc": d_pre.sum(1), "b_dec": d_out.sum(1)}
    if sae.centred:  # b_dec is subtracted in front of the encoder too
        named["b_dec"] = named["b_dec"] - torch.bmm(d_pre.sum(1, keepdim=True), sae.W_enc.mT)[:, 0]
    named |= {"W_dec": d_W_dec + d_W_enc.mT} if sae.tied else {"W_enc": d_W_enc, "W_dec": d_W_dec}
    if sae.activation == "jumprelu":  # straight-through: only pre-activations near the threshold push it
        near = ((pre - sae.threshold[:, None]).abs() < BANDWIDTH / 2) / BANDWIDTH
        named["threshold"] = -(near * (sae.threshold[:, None] * d_z + coefficient / batch)).sum(1)
    return named, z
