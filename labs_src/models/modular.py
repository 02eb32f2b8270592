"""A transformer for modular addition: attention and MLPs, small enough to grok in minutes on one CPU thread.

Without the norm it is the model of Nanda et al. 2023, "Progress measures for grokking via mechanistic
interpretability" (https://arxiv.org/abs/2301.05217), with any number of layers. With it, and with GELU, it is a
TransformerLens model of the same sizes. Hook names follow TransformerLens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes. Tokens 0 to ``p - 1`` are numbers, those from ``p`` on are signs.

    Attributes:
        norm: LayerNorm in front of attention, MLP and unembedding.
        act: "relu" or "gelu".
    """

    p: int = 113
    d_vocab: int = 114
    n_ctx: int = 3
    n_layers: int = 2
    d_model: int = 128
    n_heads: int = 4
    d_mlp: int = 512
    norm: bool = False
    act: str = "relu"


class ModularAdder(nn.Module):
    """Weights (row-vector convention, ``x @ W``): W_E [vocab, d_model], W_pos [ctx, d_model], W_U [d_model, vocab];
    W_Q, W_K, W_V, W_O [layer, d_model, d_model] (heads side by side); W_in [layer, d_model, d_mlp], b_in,
    W_out [layer, d_mlp, d_model], b_out."""

    def __init__(self, cfg: Config | None = None, seed: int = 0) -> None:
        super().__init__()
        self.cfg = cfg = cfg or Config()
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int, scale: float = 1.0) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=g) * scale / cfg.d_model**0.5)

        layers, d = cfg.n_layers, cfg.d_model
        self.W_E, self.W_pos, self.W_U = normal(cfg.d_vocab, d), normal(cfg.n_ctx, d), normal(d, cfg.d_vocab)
        self.W_Q, self.W_K, self.W_V, self.W_O = (normal(layers, d, d) for _ in range(4))
        self.W_in = normal(layers, d, cfg.d_mlp)
        self.W_out = normal(layers, cfg.d_mlp, d, scale=(d / cfg.d_mlp) ** 0.5)
        self.b_in = nn.Parameter(torch.zeros(layers, cfg.d_mlp))
        self.b_out = nn.Parameter(torch.zeros(layers, d))

    def forward(self, tokens: Int[Tensor, "batch pos"], at: int = -1) -> Float[Tensor, "batch vocab"]:
        """Logits at one position; the last block is computed there only."""
        x = self._stream(tokens, self.cfg.n_layers - 1)[-1]
        return self._norm(self._block(self.cfg.n_layers - 1, x, at)[:, 0]) @ self.W_U

    def run_with_cache(self, tokens: Int[Tensor, "batch pos"], at: int = -1) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at position ``at``, and the residual stream [batch, pos, d_model] at every position by hook name."""
        stream = self._stream(tokens, self.cfg.n_layers)
        names = ["blocks.0.hook_resid_pre"] + [f"blocks.{i}.hook_resid_post" for i in range(self.cfg.n_layers)]
        return self._norm(stream[-1][:, at]) @ self.W_U, dict(zip(names, stream, strict=True))

    def _stream(self, tokens: Tensor, layers: int) -> list[Tensor]:
        if tokens.shape[-1] > self.cfg.n_ctx:
            raise ValueError(f"this model reads at most {self.cfg.n_ctx} tokens; got {tokens.shape[-1]}")
        stream = [self.W_E[tokens] + self.W_pos[: tokens.shape[-1]]]
        for layer in range(layers):
            stream.append(self._block(layer, stream[-1]))
        return stream

    def _norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) if self.cfg.norm else x

    def _block(self, layer: int, x: Float[Tensor, "batch pos d_model"], at: int | None = None) -> Tensor:
        """The stream after a block, at every position or (as one position) at ``at``."""
        heads, length = self.cfg.n_heads, x.shape[1]
        rows = slice(None) if at is None else slice(at % length, at % length + 1)
        read = self._norm(x)

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (heads, -1)).transpose(1, 2)  # [batch, head, pos, d_head]

        q, k, v = split(read[:, rows] @ self.W_Q[layer]), split(read @ self.W_K[layer]), split(read @ self.W_V[layer])
        scores = q @ k.mT / (self.cfg.d_model // heads) ** 0.5
        future = torch.ones(length, length, dtype=torch.bool).triu(1)[rows]
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        x = x[:, rows] + (pattern @ v).transpose(1, 2).flatten(2) @ self.W_O[layer]
        act = F.gelu if self.cfg.act == "gelu" else F.relu
        return x + act(self._norm(x) @ self.W_in[layer] + self.b_in[layer]) @ self.W_out[layer] + self.b_out[layer]

    def config_dict(self) -> dict[str, int | bool | str]:
        """The sizes as a plain dictionary, for a model card."""
        return asdict(self.cfg)
