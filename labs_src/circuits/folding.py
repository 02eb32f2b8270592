"""Folding Gemma-2's norms into the weights beside them, so that directions of the stream meet a head's weights.

Gemma's norm multiplies by 1 + gamma (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467, and the "1 +" of
Gemma's code):

    y = x / rms(x) * (1 + gamma),   rms(x) = sqrt(mean(x ** 2) + eps)
    q_proj(y) = (x / rms(x)) @ W_Q[h]      with the rows of W_Q[h] multiplied by (1 + gamma)

Only 1 / rms stays outside: it depends on the token. Row vectors throughout: x @ W. A Gemma-2 block has four norms:
before and after attention, before and after the MLP. ``fold`` takes the first two, ``fold_mlp`` the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

GAINS = ("1+gamma", "gamma", "none")
"""What a fold multiplies by: the right factor; the stored number without its 1 (a common bug); nothing at all."""


@dataclass(frozen=True)
class Folded:
    """One attention layer, its norms folded.

    Attributes:
        layer: its number.
        W_Q: [head, d_model, d_head]. W_K, W_V: [kv, d_model, d_head]. W_O: [head, d_head, d_model].
        scale: what scores are multiplied by, query_pre_attn_scalar ** -0.5.
        softcap: scores become softcap * tanh(score / softcap); None for none.
        theta: base of the rotary angles.
        window: how many keys a query reaches on a sliding layer, itself included; None on a global one.
    """

    layer: int
    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "kv d_model d_head"]
    W_V: Float[Tensor, "kv d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    scale: float
    softcap: float | None
    theta: float
    window: int | None

    @property
    def n_heads(self) -> int:
        return self.W_Q.shape[0]

    @property
    def n_kv(self) -> int:
        return self.W_K.shape[0]

    @property
    def d_head(self) -> int:
        return self.W_Q.shape[-1]

    def kv(self, head: int) -> int:
        """The key/value head that a query head reads: consecutive query heads share one (Ainslie et al. 2023)."""
        if not 0 <= head < self.n_heads:
            raise IndexError(f"layer {self.layer} has heads 0 to {self.n_heads - 1}, not {head}")
        return head // (self.n_heads // self.n_kv)

    def cap(self, scores: Tensor) -> Tensor:
        """The softcap, if there is one."""
        return scores if self.softcap is None else self.softcap * torch.tanh(scores / self.softcap)

    def allowed(self, n: int) -> Tensor:
        """[query, key], bool: which keys a query may look at, causal and inside the window."""
        pos = torch.arange(n)
        distance = pos[:, None] - pos
        return (distance >= 0) & (distance < (self.window or n))


def fold(model: Any, layer: int, *, gain: str = "1+gamma", post: str = "1+gamma") -> Folded:
    """The attention weights of a layer with the norms around it folded in, in float32.

    Args:
        model: a raw-weight bridge of a Gemma-2, or the Hugging Face model itself.
        layer: from 0.
        gain: what the norm before attention puts on the input rows of W_Q, W_K, W_V; one of ``GAINS``.
        post: what the norm after attention puts on the output columns of W_O. Its 1 / rms stays outside too: it is
            that of the whole attention output, all heads together.

    Raises:
        ValueError: no such gain.
        IndexError: no such layer.
    """
    config, block = _block(model, layer)
    attn, d_head = block.self_attn, config.head_dim

    def readers(name: str) -> Tensor:
        weight = getattr(attn, name).weight.detach().float()  # [head * d_head, d_model]
        return (weight.unflatten(0, (-1, d_head)) * factor(block.input_layernorm, gain)).transpose(1, 2).contiguous()

    out = attn.o_proj.weight.detach().float() * factor(block.post_attention_layernorm, post)[:, None]
    sliding = config.layer_types[layer] == "sliding_attention"
    return Folded(
        layer=layer,
        W_Q=readers("q_proj"),
        W_K=readers("k_proj"),
        W_V=readers("v_proj"),
        W_O=out.T.unflatten(0, (-1, d_head)).contiguous(),
        scale=float(config.query_pre_attn_scalar) ** -0.5,
        softcap=config.attn_logit_softcapping,
        theta=float(config.rope_parameters["rope_theta"]),
        window=int(config.sliding_window) if sliding else None,
    )


def fold_all(model: Any, *, gain: str = "1+gamma", post: str = "1+gamma") -> list[Folded]:
    """``fold`` for every layer."""
    return [fold(model, layer, gain=gain, post=post) for layer in range(n_layers(model))]


@dataclass(frozen=True)
class FoldedMLP:
    """One MLP, its norms folded: ``(gelu(x @ W_gate) * (x @ W_up)) @ W_down`` for x already divided by its rms.

    Attributes:
        W_gate, W_up: [d_model, d_mlp], rows multiplied by the gain of the norm before the MLP.
        W_down: [d_mlp, d_model], columns multiplied by the gain of the norm after it.
    """

    layer: int
    W_gate: Float[Tensor, "d_model d_mlp"]
    W_up: Float[Tensor, "d_model d_mlp"]
    W_down: Float[Tensor, "d_mlp d_model"]


def fold_mlp(model: Any, layer: int, *, gain: str = "1+gamma", post: str = "1+gamma") -> FoldedMLP:
    """The MLP of a layer with the norms before and after it folded in, in float32.

    Args:
        model, layer: as for ``fold``.
        gain: of the norm before the MLP, on the input rows; one of ``GAINS``.
        post: of the norm after the MLP, on the output columns.
    """
    _, block = _block(model, layer)
    before, after = factor(block.pre_feedforward_layernorm, gain), factor(block.post_feedforward_layernorm, post)
    gate, up, down = (getattr(block.mlp, f"{name}_proj").weight.detach().float() for name in ("gate", "up", "down"))
    return FoldedMLP(layer, (gate * before).T, (up * before).T, (down * after[:, None]).T)


def factor(norm: Any, gain: str) -> Float[Tensor, " d_model"]:
    """What a norm's stored weight gamma means as a factor, by one of ``GAINS``.

    Raises:
        ValueError: no such gain.
    """
    if gain not in GAINS:
        raise ValueError(f"a gain is one of {', '.join(map(repr, GAINS))}, not {gain!r}")
    gamma = norm.weight.detach().float()
    return {"1+gamma": 1 + gamma, "gamma": gamma, "none": torch.ones_like(gamma)}[gain]


def n_layers(model: Any) -> int:
    """How many blocks a model has."""
    return getattr(model, "original_model", model).config.num_hidden_layers


def rms(x: Float[Tensor, "*rows d_model"], eps: float = 1e-6) -> Float[Tensor, "*rows 1"]:
    """Root mean square of each vector, as Gemma's norm computes it; in float32."""
    return (x.float().pow(2).mean(-1, keepdim=True) + eps).sqrt()


def _block(model: Any, layer: int) -> tuple[Any, Any]:
    hf = getattr(model, "original_model", model)
    if getattr(hf.config, "model_type", "") != "gemma2":
        raise ValueError(f"folding is written for Gemma-2's four norms; this is a {hf.config.model_type} model")
    if not 0 <= layer < hf.config.num_hidden_layers:
        raise IndexError(f"the model has layers 0 to {hf.config.num_hidden_layers - 1}, not {layer}")
    return hf.config, hf.model.layers[layer]
