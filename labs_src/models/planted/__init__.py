"""Planted models: real Gemma-2 checkpoints whose weights are written, not trained.

``build(circuits, features)`` returns a ``Gemma2ForCausalLM`` that holds exactly the listed circuits, so that a method
can be scored for what it finds and what it invents. ``circuits.standard`` is the list of the shipped ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from labs_src.models.planted import norms, text, weights
from labs_src.models.planted.circuits import Circuit, standard
from labs_src.models.planted.directions import Features, orthonormal, packed
from labs_src.models.planted.weights import NoRoom, Shape

__all__ = ["Circuit", "Features", "NoRoom", "Planted", "Shape", "build", "orthonormal", "packed", "standard"]


@dataclass(frozen=True)
class Planted:
    """A written model and what was written.

    Attributes:
        model: ``Gemma2ForCausalLM``, float32, eval mode.
        circuits, features, words: the answer key.
        shape: sizes.
        noise: standard deviation of the noise over that of the weights, per matrix.
    """

    model: Any
    circuits: tuple[Circuit, ...]
    features: Features
    words: text.Vocabulary
    shape: Shape
    noise: float


def build(
    circuits: Sequence[Circuit],
    features: Features,
    noise: float = 0.0,
    seed: int = 0,
    shape: Shape | None = None,
    words: text.Vocabulary | None = None,
    gain_spread: float = 1.0,
) -> Planted:
    """Write circuits into a Gemma-2 model.

    Args:
        circuits: what to plant; also the answer key.
        features: the directions.
        noise: Gaussian noise on every matrix, its Frobenius norm over that of the matrix. At 0.2 every circuit of the
            standard list acts; from about 0.5 attention fails, long before weight tables do.
        seed: of noise, gains and the default words.
        shape: sizes; the default has 2 layers of 4 heads.
        words: what each token holds; made from the seed if None.
        gain_spread: 0 for plain norm gains. Spreading those before attention and MLP leaves the function as it is;
            those after them change the size that they divide by, logits by some hundredths.

    Raises:
        NoRoom: if the circuits do not fit.
        ValueError: for a circuit that names what is not there, or a negative noise.
    """
    if noise < 0:
        raise ValueError(f"noise is a ratio of sizes, 0 or more; got {noise}")
    shape = shape or Shape()
    for c in circuits:
        weights.check(c, features, shape)
    words = words or text.vocabulary(features, seed=seed)
    model = _empty(features, shape, len(words.words))
    gain_source, noise_source = (torch.Generator().manual_seed(2 * seed + i) for i in (0, 1))

    def noisy(w: Tensor) -> Tensor:
        size = w.norm() / w.numel() ** 0.5
        return w + noise * size * torch.randn(w.shape, generator=noise_source)

    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(noisy(text.embedding(features, words)))
        model.model.norm.weight.fill_(norms.FINAL - 1)
        for index, block in enumerate(model.model.layers):
            w, g = (
                weights.layer(circuits, features, shape, index),
                norms.gains(features.mean.numel(), gain_source, gain_spread),
            )
            for matrix, target in ((w.q, "q_proj"), (w.k, "k_proj"), (w.v, "v_proj")):
                getattr(block.self_attn, target).weight.copy_(noisy(matrix) / g.before_attention)
            block.self_attn.o_proj.weight.copy_(noisy(w.o) / g.attention_spread[:, None])
            block.mlp.gate_proj.weight.copy_(noisy(w.gate) / g.before_mlp)
            block.mlp.up_proj.weight.copy_(noisy(w.up) / g.before_mlp)
            block.mlp.down_proj.weight.copy_(noisy(w.down) / g.mlp_spread[:, None])
            block.input_layernorm.weight.copy_(g.before_attention - 1)  # Gemma stores gamma and uses 1 + gamma
            block.post_attention_layernorm.weight.copy_(g.after_attention - 1)
            block.pre_feedforward_layernorm.weight.copy_(g.before_mlp - 1)
            block.post_feedforward_layernorm.weight.copy_(g.after_mlp - 1)
    return Planted(model, tuple(circuits), features, words, shape, noise)


def _empty(features: Features, shape: Shape, vocabulary: int) -> Any:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=features.mean.numel(),
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv,
        head_dim=shape.d_head,
        query_pre_attn_scalar=shape.d_head,
        max_position_embeddings=shape.n_ctx,
        sliding_window=shape.window,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        pad_token_id=text.SPECIAL.index("<pad>"),
        eos_token_id=text.SPECIAL.index("<eos>"),
        bos_token_id=text.BOS,
        attn_implementation="eager",
    )
    return Gemma2ForCausalLM(config).float().eval().requires_grad_(False)
