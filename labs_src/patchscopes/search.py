"""Gradient search for a vector that drives a neuron, many at once: a row for each neuron and restart.

A gated MLP's neuron is ``post = gelu(gate) * up``. It is large in two corners: gate and up both large and positive, or,
much smaller, gate at the minimum of GELU (about -0.17, at gate = -0.75) and up large and *negative*. From a start where
both are negative, ascent on ``post`` walks into the second corner and cannot leave it. ``warm_objective`` first makes
gate and up positive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

READY, ENOUGH = 1.0, 1.5
"""Warm start: gate and up count as awake from READY on, and are not pushed beyond ENOUGH."""

Targets = Sequence[tuple[int, int]]
"""(layer, neuron) for each row."""


@dataclass(frozen=True)
class Site:
    """Where a vector goes in.

    Attributes:
        model: a TransformerBridge.
        ids: [1, position].
        at: position of the placeholder, whose state the vector replaces; the target is read there too.
        inject: the vector enters this layer (``hook_resid_pre``).
    """

    model: Any
    ids: Int[Tensor, "1 position"]
    at: int
    inject: int

    @property
    def hook(self) -> str:
        return f"blocks.{self.inject}.hook_resid_pre"

    def put(self, x: Float[Tensor, "row d_model"]) -> tuple[str, Callable[..., Tensor]]:
        """The hook that puts a vector in each row's place."""

        def replace(value: Tensor, hook: Any) -> Tensor:
            value = value.clone()
            value[:, self.at] = x.to(value.dtype)
            return value

        return self.hook, replace


@dataclass(frozen=True)
class Response:
    """What targets do, each [row]: ``post = gelu(gate) * up``."""

    post: Tensor
    gate: Tensor
    up: Tensor


HOOKS = {"post": "mlp.hook_post", "gate": "mlp.hook_pre", "up": "mlp.hook_pre_linear"}


def respond(site: Site, x: Float[Tensor, "row d_model"], targets: Targets) -> Response:
    """The targets at the placeholder when the vectors stand there; differentiable in x.

    Raises:
        ValueError: not one target for each row, or a target before the place where the vector goes in.
    """
    if len(targets) != len(x):
        raise ValueError(
            f"there are {len(x)} vectors and {len(targets)} targets: give one (layer, neuron) for each row"
        )
    layers = sorted({layer for layer, _ in targets})
    if layers[0] < site.inject:
        raise ValueError(
            f"a vector that enters layer {site.inject} cannot reach layer {layers[0]}, which comes before it"
        )
    kept: dict[tuple[str, int], Tensor] = {}

    def keeper(kind: str, layer: int) -> Callable[..., None]:
        def keep(value: Tensor, hook: Any) -> None:
            kept[kind, layer] = value[:, site.at].float()

        return keep

    reads = [(f"blocks.{layer}.{name}", keeper(kind, layer)) for layer in layers for kind, name in HOOKS.items()]
    ids = site.ids.expand(len(x), -1)
    site.model.run_with_hooks(ids, fwd_hooks=[site.put(x), *reads], stop_at_layer=layers[-1] + 1)
    rows, layer, neuron = (torch.tensor(column) for column in zip(*((i, t, n) for i, (t, n) in enumerate(targets))))
    index = torch.searchsorted(torch.tensor(layers), layer)
    stacked = {kind: torch.stack([kept[kind, t] for t in layers]) for kind in HOOKS}
    return Response(**{k: v[index, rows, neuron] for k, v in stacked.items()})


@torch.no_grad()
def everything(site: Site, x: Float[Tensor, "row d_model"], layer: int) -> Float[Tensor, "row neuron"]:
    """Every neuron of a layer at the placeholder, for each vector."""
    kept: list[Tensor] = []
    read = (f"blocks.{layer}.{HOOKS['post']}", lambda value, hook: kept.append(value[:, site.at].float()))
    site.model.run_with_hooks(site.ids.expand(len(x), -1), fwd_hooks=[site.put(x), read], stop_at_layer=layer + 1)
    return kept[0]


def plain_objective(r: Response) -> Tensor:
    """What the post maximises: the target's activation."""
    return r.post


def warm_objective(r: Response) -> Tensor:
    """Gate and up first, each up to ENOUGH, until both are awake; then the activation."""
    awake = (r.gate >= READY) & (r.up >= READY)
    return torch.where(awake, r.post, r.gate.clamp(max=ENOUGH) + r.up.clamp(max=ENOUGH))


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        vectors: [row, d_model], after the last step.
        value, gate, up: [row], the targets there.
        trace: [step + 1, row], the activation from the start on.
        inside: [step + 1, row, 2], gate and up from the start on.
        kept: [row, d_model] after each step that was asked for.
    """

    vectors: Tensor
    value: Tensor
    gate: Tensor
    up: Tensor
    trace: Tensor
    inside: Tensor
    kept: dict[int, Tensor] = field(default_factory=dict)


def ascend(
    site: Site,
    start: Float[Tensor, "row d"],
    targets: Targets,
    *,
    steps: int = 50,
    lr: float = 0.05,
    objective: Callable[[Response], Tensor] = plain_objective,
    make: Callable[[Tensor], Tensor] = lambda p: p,
    project: Callable[[Tensor], Tensor] | None = None,
    penalty: Callable[[Tensor], Tensor] | None = None,
    keep: Sequence[int] = (),
) -> Found:
    """Adam from ``start``, each row for its own target; rows do not touch each other.

    With the defaults, this is the post's recipe (Adam, lr 0.05, 50 steps, no constraint).

    Args:
        start: vectors, or whatever ``make`` makes vectors of (such as codes of a dictionary).
        targets: (layer, neuron) of each row.
        objective: what is maximised, [row] of a ``Response``: ``plain_objective`` or ``warm_objective``.
        make: parameters to vectors [row, d_model].
        project: back into the allowed set after each step, on the parameters.
        penalty: [row] of the parameters, subtracted from the objective.
        keep: steps after which the vectors are kept too. (A search that is begun again from them is another one: Adam
            would start afresh.)

    Raises:
        ValueError: as ``respond``.
        FloatingPointError: a vector is no longer finite; says at which step.
    """
    p = start.detach().clone().float().requires_grad_(True)
    adam, trace, inside, kept = torch.optim.Adam([p], lr=lr), [], [], {}
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            response = respond(site, make(p), targets)
        trace.append(response.post.detach())
        inside.append(torch.stack([response.gate, response.up], -1).detach())
        if step in keep:
            kept[step] = make(p).detach().clone()
        if step == steps:
            break
        goal = objective(response) if penalty is None else objective(response) - penalty(p)
        p.grad = torch.autograd.grad(-goal.sum(), p)[0]
        adam.step()
        with torch.no_grad():
            if project is not None:
                p.copy_(project(p))
            if not torch.isfinite(p).all():
                raise FloatingPointError(f"step {step + 1}: a vector is not finite; try a smaller lr than {lr:g}")
    with torch.no_grad():
        ends = (v.detach() for v in (response.post, response.gate, response.up))
        return Found(make(p).detach(), *ends, torch.stack(trace), torch.stack(inside), kept)
