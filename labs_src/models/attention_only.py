"""A transformer of attention alone: no norm, no MLP, no bias. It reads from top to bottom.

Positions are *shortformer*: the position embedding is added to what queries and keys read, never to the residual
stream or to what values read. So the stream holds tokens and what heads wrote, and nothing else.

Names follow TransformerLens. ``run_with_cache`` gives every named value, ``run_with_hooks`` replaces some.
Sources: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Press et al. 2020, "Shortformer".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Hook = Callable[[Tensor, str], Tensor | None]


@dataclass(frozen=True)
class Config:
    """Sizes. ``d_vocab`` tokens, ``n_ctx`` positions."""

    n_layers: int = 2
    d_model: int = 64
    n_heads: int = 4
    d_head: int = 32
    n_ctx: int = 64
    d_vocab: int = 128


class AttentionOnly(nn.Module):
    """Attention-only transformer.

    Weights (row-vector convention, ``x @ W``):
        W_E [vocab, d_model], W_pos [ctx, d_model], W_U [d_model, vocab],
        W_Q, W_K, W_V [layer, head, d_model, d_head], W_O [layer, head, d_head, d_model].
    """

    def __init__(self, cfg: Config | None = None, seed: int = 0) -> None:
        super().__init__()
        self.cfg = cfg = cfg or Config()
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=g) / fan_in**0.5)

        layers, heads, d, e = cfg.n_layers, cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_E = normal(cfg.d_vocab, d, fan_in=d // 4)  # twice the usual size: heads find tokens and
        self.W_pos = normal(cfg.n_ctx, d, fan_in=d // 4)  # positions sooner, on more seeds
        self.W_Q = normal(layers, heads, d, e, fan_in=d)
        self.W_K = normal(layers, heads, d, e, fan_in=d)
        self.W_V = normal(layers, heads, d, e, fan_in=d)
        self.W_O = normal(layers, heads, e, d, fan_in=layers * heads * e)
        self.W_U = normal(d, cfg.d_vocab, fan_in=d)
        self._hooks: dict[str, list[Hook]] = {}
        self._cache: dict[str, Tensor] | None = None

    def hook_names(self) -> list[str]:
        """Every name that ``run_with_cache`` fills and ``run_with_hooks`` accepts, in order of computation."""
        names = ["hook_embed", "hook_pos_embed"]
        for layer in range(self.cfg.n_layers):
            attn = ["q", "k", "v", "attn_scores", "pattern", "z", "result"]
            names += [f"blocks.{layer}.hook_resid_pre"] + [f"blocks.{layer}.attn.hook_{n}" for n in attn]
            names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_resid_post"]
        return names

    def _at(self, name: str, value: Tensor) -> Tensor:
        for fn in self._hooks.get(name, ()):
            new = fn(value, name)
            value = value if new is None else new
        if self._cache is not None:
            self._cache[name] = value
        return value

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        """Logits for the token after each position.

        Raises:
            ValueError: if the sequence is longer than the model has positions.
        """
        n = tokens.shape[-1]
        if n > self.cfg.n_ctx:
            raise ValueError(f"this model reads at most {self.cfg.n_ctx} tokens, BOS included; got {n}")
        x = self._at("hook_embed", self.W_E[tokens])
        pos = self._at("hook_pos_embed", self.W_pos[:n].expand_as(x))
        for layer in range(self.cfg.n_layers):
            x = self._at(f"blocks.{layer}.hook_resid_pre", x)
            x = x + self._at(f"blocks.{layer}.hook_attn_out", self._attention(layer, x, pos))
            x = self._at(f"blocks.{layer}.hook_resid_post", x)
        return x @ self.W_U

    def _attention(
        self, layer: int, x: Float[Tensor, "batch pos d_model"], pos: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        at = f"blocks.{layer}.attn.hook_"

        def heads(inputs: Tensor, w: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "batch pos head d_head"]:
            flat = inputs @ w.permute(1, 0, 2).flatten(1)  # all heads in one product
            return flat.unflatten(-1, (self.cfg.n_heads, self.cfg.d_head))

        q = self._at(at + "q", heads(x + pos, self.W_Q[layer]))
        k = self._at(at + "k", heads(x + pos, self.W_K[layer]))
        v = self._at(at + "v", heads(x, self.W_V[layer]))  # no position: values carry tokens only
        scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1) / self.cfg.d_head**0.5  # [batch, head, query, key]
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = self._at(at + "attn_scores", scores.masked_fill(future, -torch.inf))
        pattern = self._at(at + "pattern", scores.softmax(-1))
        z = self._at(at + "z", (pattern @ v.transpose(1, 2)).transpose(1, 2))
        if self._cache is not None or at + "result" in self._hooks:  # one vector per head: only when asked for
            return self._at(at + "result", torch.einsum("bphe,hed->bphd", z, self.W_O[layer])).sum(2)
        return z.flatten(2) @ self.W_O[layer].flatten(0, 1)

    def run_with_cache(self, tokens: Int[Tensor, "batch pos"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and every named value (see ``hook_names``)."""
        self._cache = cache = {}
        try:
            return self(tokens), cache
        finally:
            self._cache = None

    def run_with_hooks(self, tokens: Int[Tensor, "batch pos"], fwd_hooks: Sequence[tuple[str, Hook]] = ()) -> Tensor:
        """Logits, with ``fn(value, name)`` called at each named value; what it returns replaces the value.

        Raises:
            ValueError: for a name that this model does not have.
        """
        known = set(self.hook_names())
        for name, fn in fwd_hooks:
            if name not in known:
                raise ValueError(f"no hook named {name!r}; names are like 'blocks.0.attn.hook_pattern' (hook_names())")
            self._hooks.setdefault(name, []).append(fn)
        try:
            return self(tokens)
        finally:
            self._hooks = {}

    def config_dict(self) -> dict[str, int]:
        """The sizes as a plain dictionary, for a model card."""
        return asdict(self.cfg)
