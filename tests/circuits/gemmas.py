"""Gemma-2 models of transformers to compare with: the shipped one, and small ones with random weights and gains."""

from __future__ import annotations

from functools import cache

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from labs_src import paths

NAMES = ("mini-gemma", "mini-gemma-it", "random", "two to one")


@cache
def gemma(name: str) -> Gemma2ForCausalLM:
    """By name; never changed by a test."""
    if name.startswith("mini"):
        folder = paths.DATA / "models" / name
        model = Gemma2ForCausalLM.from_pretrained(folder, attn_implementation="eager")
    else:
        model = _random(*{"random": (6, 3, 20, 24), "two to one": (4, 2, 16, 37)}[name])
    return model.float().eval().requires_grad_(False)


def _random(heads: int, kv: int, d_head: int, scalar: int) -> Gemma2ForCausalLM:
    """All dimensions different, a scale that is not d_head ** -0.5, a tight softcap, gains far from 0."""
    torch.manual_seed(heads)
    config = Gemma2Config(
        vocab_size=61, hidden_size=48, intermediate_size=56, num_hidden_layers=4, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=d_head, query_pre_attn_scalar=scalar, max_position_embeddings=64,
        sliding_window=9, attn_logit_softcapping=3.0, final_logit_softcapping=30.0, initializer_range=0.3,
        rms_norm_eps=1e-6, pad_token_id=0, eos_token_id=1, bos_token_id=2, attn_implementation="eager",
    )  # fmt: skip
    model = Gemma2ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.normal_(0, 0.6)
    return model


def text(model: Gemma2ForCausalLM, n: int = 3, length: int = 48, seed: int = 0) -> torch.Tensor:
    """Random tokens after <bos>."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, model.config.vocab_size, (n, length), generator=g)
    ids[:, 0] = model.config.bos_token_id
    return ids
