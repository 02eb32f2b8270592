"""A model's own attention, stage by stage, and ours beside it: what parity tests compare.

"Theirs" is what transformers' modules compute (Gemma2RMSNorm, q_proj, apply_rotary_pos_emb); "ours" is made of folded
weights. Sources: the errata's test_gamma_folding and test_rope_parity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.circuits import folding, prediction, rope
from labs_src.circuits.prediction import RIGHT, Switches

PROJECTIONS = ("q", "k", "v")
SCALES = (1.0, 12.0, 100.0)
"""Of the input: a norm must not care."""

STAGES = ("encoder input", "queries", "keys", "rotated queries", "rotated keys", "logits")

Project = Callable[[Float[Tensor, "n d_model"]], Float[Tensor, "n head d_head"]]


def weights(model: Any, layer: int, which: str) -> tuple[Tensor, Tensor]:
    """A projection's weight [head * d_head, d_model] as stored, and gamma [d_model] of the norm before it; float32."""
    block = _block(model, layer)
    return (
        getattr(block.self_attn, f"{which}_proj").weight.detach().float(),
        block.input_layernorm.weight.detach().float(),
    )


def theirs(model: Any, layer: int, which: str) -> Project:
    """What the model computes from raw vectors: its norm, then its q, k or v projection, split into heads."""
    from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm

    config = _config(model)
    W, gamma = weights(model, layer, which)
    norm = Gemma2RMSNorm(config.hidden_size, eps=config.rms_norm_eps)  # in float32, whatever the model is kept in
    norm.weight.data.copy_(gamma)
    return lambda x: torch.nn.functional.linear(norm(x), W).unflatten(-1, (-1, config.head_dim)).detach()


def ours(model: Any, W_fold: Float[Tensor, "out d_model"]) -> Project:
    """The same from a folded weight: divide by rms, multiply, split into heads."""
    config = _config(model)
    return lambda x: (x / folding.rms(x, config.rms_norm_eps) @ W_fold.T).unflatten(-1, (-1, config.head_dim))


def vectors(model: Any, n: int = 64, seed: int = 0) -> Float[Tensor, "n d_model"]:
    """Random vectors of root mean square about 1."""
    return torch.randn(n, _config(model).hidden_size, generator=torch.Generator().manual_seed(seed))


def cosines(a: Float[Tensor, "n head d_head"], b: Float[Tensor, "n head d_head"]) -> Float[Tensor, " head"]:
    """Per head, the cosine between all of its numbers."""
    a, b = (x.double().transpose(0, 1).flatten(1) for x in (a, b))
    return torch.cosine_similarity(a, b, dim=1)


def relative_errors(a: Float[Tensor, "n head d_head"], b: Float[Tensor, "n head d_head"]) -> Float[Tensor, " head"]:
    """Per head, the norm of the difference over the norm of b."""
    return (a - b).norm(dim=(0, 2)) / b.norm(dim=(0, 2))


def compare(ours: Project, theirs: Project, x: Float[Tensor, "n d_model"], scales: tuple[float, ...] = SCALES) -> list:
    """Rows with scale, head, error (relative) and cosine, for every head at every scale of the input."""
    rows = []
    for scale in scales:
        a, b = ours(scale * x), theirs(scale * x)
        pairs = zip(relative_errors(a, b).tolist(), cosines(a, b).tolist(), strict=True)
        rows += [{"scale": scale, "head": h, "error": e, "cosine": c} for h, (e, c) in enumerate(pairs)]
    return rows


def rotary_cases(
    model: Any, layer: int, distances: Int[Tensor, " n"], seed: int = 0
) -> tuple[Tensor, Tensor, Float[Tensor, "n head"]]:
    """Queries and keys of random vectors at given distances, and the logits that transformers' rotation gives them.

    Returns:
        q and k [n, head, d_head], not rotated (keys repeated for their group), and q . R(-distance) k * scale by
        apply_rotary_pos_emb, the query at position ``distance`` and the key at 0, both moved on by 5.
    """
    from transformers.models.gemma2.modeling_gemma2 import Gemma2RotaryEmbedding, apply_rotary_pos_emb

    folded, n = folding.fold(model, layer), len(distances)
    x = vectors(model, 2 * n, seed)
    x = x / folding.rms(x)
    q = torch.einsum("nd,hde->nhe", x[:n], folded.W_Q)
    k = torch.einsum("nd,hde->nhe", x[n:], folded.W_K).repeat_interleave(folded.n_heads // folded.n_kv, 1)
    embed = Gemma2RotaryEmbedding(_config(model))
    at_q, at_k = (embed(q, at[None]) for at in (distances + 5, torch.full_like(distances, 5)))
    rot_q, _ = apply_rotary_pos_emb(q.transpose(0, 1)[None], q.transpose(0, 1)[None], *at_q)
    rot_k, _ = apply_rotary_pos_emb(k.transpose(0, 1)[None], k.transpose(0, 1)[None], *at_k)
    return q, k, (rot_q[0] * rot_k[0]).sum(-1).T * folded.scale


@torch.no_grad()
def model_stages(model: Any, layer: int, ids: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
    """What the model has at each of ``STAGES``; logits are those that attention may see, in one row."""
    names = ("hook_resid_pre", "attn.hook_q", "attn.hook_k", "attn.hook_rot_q", "attn.hook_rot_k")
    names = [f"blocks.{layer}.{name}" for name in (*names, "attn.hook_attn_scores")]
    _, cache = model.run_with_cache(ids, names_filter=names)
    x, q, k, rot_q, rot_k, scores = (cache[name].float() for name in names)
    heads = _config(model).head_dim
    q, k = (y if y.dim() == 4 else y.unflatten(-1, (-1, heads)) for y in (q, k))
    rot_q, rot_k = (_by_position(y, ids.shape[1]) for y in (rot_q, rot_k))
    allowed = folding.fold(model, layer).allowed(ids.shape[1])
    return dict(zip(STAGES, (x, q, k, rot_q, rot_k, scores[..., allowed]), strict=True))


@torch.no_grad()
def our_stages(model: Any, layer: int, ids: Int[Tensor, "batch pos"], switches: Switches = RIGHT) -> dict[str, Tensor]:
    """The same by the pipeline with some switches, the dictionary replaced by the identity: nothing is lost in it."""
    seen = prediction.look(model, ids, [layer])[layer]
    folded, size = folding.fold(model, layer, gain=switches.fold), folding.rms(seen.x, seen.eps)
    encoder_input = seen.x if switches.point == "pre_norm" else seen.x / size * (1 + seen.gamma)
    x = encoder_input / size if switches.point == "pre_norm" else encoder_input
    q, k = (torch.einsum("bpd,hde->bphe", x, W) for W in (folded.W_Q, folded.W_K))
    pos = torch.arange(ids.shape[1])[:, None]
    rot_q, rot_k = (rope.rotate(y, pos, folded.theta, switches.pairing) for y in (q, k))
    every = rot_k.repeat_interleave(folded.n_heads // folded.n_kv, 2)
    scores = folded.cap(torch.einsum("bqhe,bkhe->bhqk", rot_q, every) * folded.scale)
    return dict(
        zip(STAGES, (encoder_input, q, k, rot_q, rot_k, scores[..., folded.allowed(ids.shape[1])]), strict=True)
    )


def _by_position(x: Tensor, n: int) -> Tensor:
    """[batch, pos, head, d_head], whichever of the two middle axes came first."""
    return x if x.shape[1] == n else x.transpose(1, 2)


def _config(model: Any) -> Any:
    return getattr(model, "original_model", model).config


def _block(model: Any, layer: int) -> Any:
    return getattr(model, "original_model", model).model.layers[layer]
