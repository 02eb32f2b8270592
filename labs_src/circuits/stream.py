"""The residual stream of a GPT-2-shaped model: its weights by name, what each part writes, and a forward without norms.

Row vectors throughout: a state of the stream is x of shape (..., d_model), a reader is x @ W, a writer is z @ W.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

READERS = ("W_Q", "W_K", "W_V", "W_in")
WRITERS = ("W_O", "b_O", "W_out", "b_out")


def weights(bridge: TransformerBridge) -> dict[str, Any]:
    """The weights of a bridge as plain tensors.

    Returns:
        W_E (d_vocab, d_model), W_pos (n_ctx, d_model), ln_final_w and ln_final_b (d_model,), W_U (d_model, d_vocab),
        b_U (d_vocab,), eps (a number), and blocks: a list of dicts with ln1_w, ln1_b, ln2_w, ln2_b (d_model,),
        W_Q, W_K, W_V (head, d_model, d_head), b_Q, b_K, b_V (head, d_head), W_O (head, d_head, d_model),
        b_O (d_model,), W_in (d_model, d_mlp), b_in (d_mlp,), W_out (d_mlp, d_model), b_out (d_model,), eps.

    Raises:
        ValueError: The model is not pre-norm with LayerNorm and exact GELU, so these weights would not describe it.
    """
    cfg = bridge.cfg
    if cfg.normalization_type != "LN" or cfg.act_fn != "gelu":
        raise ValueError(
            f"This needs LayerNorm and exact GELU; the model has {cfg.normalization_type} and {cfg.act_fn}. "
            'models.load("mini-prenorm") has both.'
        )
    names = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V", "W_O", "b_O", "W_in", "b_in", "W_out", "b_out")
    stacked = {name: getattr(bridge, name).detach().clone() for name in names}
    blocks = []
    for layer, block in enumerate(bridge.blocks):
        norms = {f"{ln}_{short}": getattr(getattr(block, ln), long).detach().clone()
                 for ln in ("ln1", "ln2") for short, long in (("w", "weight"), ("b", "bias"))}  # fmt: skip
        blocks.append({name: stacked[name][layer] for name in names} | norms | {"eps": float(cfg.eps)})
    return {
        "W_E": bridge.embed.W_E.detach().clone(),
        "W_pos": bridge.pos_embed.W_pos.detach().clone(),
        "blocks": blocks,
        "ln_final_w": bridge.ln_final.weight.detach().clone(),
        "ln_final_b": bridge.ln_final.bias.detach().clone(),
        "W_U": bridge.W_U.detach().clone(),
        "b_U": bridge.b_U.detach().clone(),
        "eps": float(cfg.eps),
    }


@contextmanager
def float64() -> Iterator[None]:
    """Inside, new tensors are float64, so that a function that makes its own can run on `double` weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def double(weights: Any) -> Any:
    """Weights in float64: two ways to compute the same then differ by a mistake, or by next to nothing."""
    if isinstance(weights, dict):
        return {name: double(value) for name, value in weights.items()}
    if isinstance(weights, list):
        return [double(value) for value in weights]
    return weights.double() if isinstance(weights, Tensor) else weights


def size(gap: Tensor | float, bound: float = 1e-4) -> str:
    """ "below 0.0001" for rounding, whose digits differ between processors; else the number."""
    return f"below {bound:g}" if float(gap) < bound else f"{float(gap):.2f}"


def states(bridge: TransformerBridge, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch pos d_model"]:
    """The stream before each block, and last after all of them (n_layers + 1 states)."""
    _, cache = bridge.run_with_cache(tokens)
    before = [cache[f"blocks.{layer}.hook_resid_pre"] for layer in range(bridge.cfg.n_layers)]
    return torch.stack([*before, cache[f"blocks.{bridge.cfg.n_layers - 1}.hook_resid_post"]])


def parts(
    bridge: TransformerBridge, tokens: Int[Tensor, "batch pos"]
) -> tuple[list[str], Float[Tensor, "component batch pos d_model"]]:
    """Everything that was written to the stream, each writer by itself; the sum is the last state.

    Returns:
        Names ("embedding", "position", "L0H0", ..., "L0 bias" for b_O, "L0 MLP", ...) and what each wrote.
    """
    _, cache = bridge.run_with_cache(tokens)
    written = {"embedding": cache["hook_embed"], "position": cache["hook_pos_embed"].expand_as(cache["hook_embed"])}
    for layer in range(bridge.cfg.n_layers):
        z = _by_head(cache[f"blocks.{layer}.attn.hook_z"], bridge.cfg.n_heads)
        heads = torch.einsum("bphe,hed->hbpd", z, bridge.W_O[layer])
        written |= {f"L{layer}H{head}": write for head, write in enumerate(heads)}
        written[f"L{layer} bias"] = bridge.b_O[layer].expand_as(heads[0])
        written[f"L{layer} MLP"] = cache[f"blocks.{layer}.hook_mlp_out"]
    return list(written), torch.stack(list(written.values())).detach()


def _by_head(z: Tensor, n_heads: int) -> Float[Tensor, "batch pos head d_head"]:
    return z if z.dim() == 4 else z.unflatten(-1, (n_heads, -1))


def kind(component: str) -> str:
    """What a component of `parts` is: embedding, position, head, bias or MLP."""
    if "H" in component:
        return "head"
    return component.rpartition(" ")[2]


def without(weights: dict[str, Any], component: str) -> dict[str, Any]:
    """The same model, in which one component of `parts` writes nothing (zero ablation, by its weights).

    Raises:
        ValueError: No such component.
    """
    changed = weights | {"blocks": [dict(block) for block in weights["blocks"]]}
    what = kind(component)
    if what in ("embedding", "position"):
        name = "W_E" if what == "embedding" else "W_pos"
        return changed | {name: torch.zeros_like(weights[name])}
    layer, _, head = component.replace(" ", "H").removeprefix("L").partition("H")
    if not layer.isdigit() or int(layer) >= len(weights["blocks"]):
        raise ValueError(f"There is no component {component!r}; `parts` lists their names.")
    block = changed["blocks"][int(layer)]
    names = {"head": ["W_O"], "bias": ["b_O"], "MLP": ["W_out", "b_out"]}[what]
    for name in names:
        block[name] = block[name].clone()
        block[name][int(head) if what == "head" else ...] = 0.0
    return changed


def folded(weights: dict[str, Any], fold: Callable) -> dict[str, Any]:
    """The same model with its norms inside its readers, and writers that write nothing along (1, ..., 1).

    What is left of a norm is the division by the stream's root mean square: `folded_forward` runs such weights.

    Args:
        weights: From `weights`.
        fold: (gain, bias, W, b) -> (W', b'), the reader that needs no gain, no bias and no mean.
    """
    blocks = []
    for block in weights["blocks"]:
        new = {name: block[name] - block[name].mean(-1, keepdim=True) for name in WRITERS} | {"eps": block["eps"]}
        for reader, norm in (("Q", "ln1"), ("K", "ln1"), ("V", "ln1"), ("in", "ln2")):
            W, b = block[f"W_{reader}"], block[f"b_{reader}"]
            new[f"W_{reader}"], new[f"b_{reader}"] = fold(block[f"{norm}_w"], block[f"{norm}_b"], W, b)
        blocks.append(new)
    W_U, b_U = fold(weights["ln_final_w"], weights["ln_final_b"], weights["W_U"], weights["b_U"])
    embeddings = {name: weights[name] - weights[name].mean(-1, keepdim=True) for name in ("W_E", "W_pos")}
    return embeddings | {"blocks": blocks, "W_U": W_U, "b_U": b_U, "eps": weights["eps"]}


def folded_forward(
    tokens: Int[Tensor, "batch pos"], weights: dict[str, Any], activation: Callable[[Tensor], Tensor] = F.gelu
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of folded weights: before each reader the stream is divided by its root mean square, nothing else.

    Args:
        tokens: Token ids.
        weights: From `folded`, perhaps rotated.
        activation: Of the MLP's hidden layer.
    """
    x = weights["W_E"][tokens] + weights["W_pos"][: tokens.shape[1]]
    for block in weights["blocks"]:
        n = _divided(x, block["eps"])
        q, k, v = (torch.einsum("bpd,hde->bhpe", n, block[f"W_{c}"]) + block[f"b_{c}"][:, None] for c in "QKV")
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + torch.einsum("bhpe,hed->bpd", z, block["W_O"]) + block["b_O"]
        hidden = activation(_divided(x, block["eps"]) @ block["W_in"] + block["b_in"])
        x = x + hidden @ block["W_out"] + block["b_out"]
    return _divided(x, weights["eps"]) @ weights["W_U"] + weights["b_U"]


def _divided(x: Tensor, eps: float) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def rotation(size: int, seed: int = 0) -> Float[Tensor, "size size"]:
    """A random rotation in float64 (orthogonal, determinant 1), the same for the same seed."""
    g = torch.Generator().manual_seed(seed)
    Q, T = torch.linalg.qr(torch.randn(size, size, generator=g, dtype=torch.float64))
    Q = Q * T.diagonal().sign()
    if torch.linalg.det(Q) < 0:
        Q[:, 0] = -Q[:, 0]
    return Q


def neurons_changed(weights: dict[str, Any], R: Float[Tensor, "d_mlp d_mlp"]) -> dict[str, Any]:
    """Every MLP's hidden layer in another basis: W_in -> W_in R, b_in -> b_in R, W_out -> R^-1 W_out (R orthogonal)."""
    blocks = [b | {"W_in": b["W_in"] @ R, "b_in": b["b_in"] @ R, "W_out": R.T @ b["W_out"]} for b in weights["blocks"]]
    return weights | {"blocks": blocks}
