"""A model of two layers that answers to the bridge's hooks: a running mean in place of attention, and a gated MLP."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch.nn.functional import gelu

VOCAB, D, NEURONS, LAYERS = 11, 6, 5, 2


class Tiny:
    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=g) / shape[-1] ** 0.5

        self.W_E, self.W_U = draw(VOCAB, D), draw(D, VOCAB) * 3
        self.mix = [draw(D, D) for _ in range(LAYERS)]
        self.W_gate, self.W_up = [draw(D, NEURONS) for _ in range(LAYERS)], [draw(D, NEURONS) for _ in range(LAYERS)]
        self.W_out = [draw(NEURONS, D) for _ in range(LAYERS)]

    def run_with_hooks(self, ids, fwd_hooks=(), stop_at_layer=None):
        by_name: dict[str, list] = {}
        for name, hook in fwd_hooks:
            by_name.setdefault(name, []).append(hook)

        def at(name, value):
            for hook in by_name.get(name, ()):
                out = hook(value, hook=SimpleNamespace(name=name))
                value = value if out is None else out
            return value

        x = self.W_E[ids]
        for layer in range(LAYERS if stop_at_layer is None else stop_at_layer):
            x = at(f"blocks.{layer}.hook_resid_pre", x)
            count = torch.arange(1, x.shape[1] + 1)[:, None]
            x = x + (x.cumsum(1) / count) @ self.mix[layer]
            gate = at(f"blocks.{layer}.mlp.hook_pre", x @ self.W_gate[layer])
            up = at(f"blocks.{layer}.mlp.hook_pre_linear", x @ self.W_up[layer])
            x = x + at(f"blocks.{layer}.mlp.hook_post", gelu(gate, approximate="tanh") * up) @ self.W_out[layer]
            x = at(f"blocks.{layer}.hook_resid_post", x)
        return x if stop_at_layer is not None else x @ self.W_U

    def run_with_cache(self, ids, names_filter):
        cache = {}
        self.run_with_hooks(ids, fwd_hooks=[(names_filter, lambda value, hook: cache.update({names_filter: value}))])
        return None, cache
