"""The toy model of superposition, x' = ReLU(W^T W x + b), many instances in one tensor, trained in a second.

W is [instances, d_hidden, n_features]: column i is feature i's direction in the hidden space. Gradients are written
out: with so little arithmetic in a step, building and walking an autograd graph would be most of the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from labs_src.superposition.data import Features


@dataclass(frozen=True)
class Kind:
    """Which variant of the toy model.

    Attributes:
        output_relu: x' = ReLU(W^T h + b); without it the model is linear.
        hidden_relu: h = ReLU(W x); without it h = W x. The hidden ReLU gives the hidden space a privileged basis.
        activity_penalty: Weight of sum_k |h_k| in the loss (a cost on hidden activity, after Olshausen and Field).
    """

    output_relu: bool = True
    hidden_relu: bool = False
    activity_penalty: float = 0.0


TOY = Kind()
LINEAR = Kind(output_relu=False)
HIDDEN_RELU = Kind(hidden_relu=True)


@dataclass(frozen=True)
class Trained:
    """What training gave.

    Attributes:
        W: [instances, d_hidden, n_features].
        b: [instances, n_features].
        kind: The variant.
        steps: The steps of the snapshots, the last one included.
        history: [snapshots, instances, d_hidden, n_features].
    """

    W: torch.Tensor
    b: torch.Tensor
    kind: Kind
    steps: tuple[int, ...]
    history: torch.Tensor

    def __getitem__(self, index) -> Trained:
        """Some of the instances."""
        return Trained(self.W[index], self.b[index], self.kind, self.steps, self.history[:, index])


class Diverged(RuntimeError):
    """Training met a number that is not finite."""


def forward(W: torch.Tensor, b: torch.Tensor, x: torch.Tensor, kind: Kind = TOY) -> torch.Tensor:
    """x' for x: [batch, instances, n_features]."""
    h = hidden(W, x, kind)
    out = torch.einsum("idn,bid->bin", W, h) + b
    return out.relu() if kind.output_relu else out


def hidden(W: torch.Tensor, x: torch.Tensor, kind: Kind = TOY) -> torch.Tensor:
    """h: [batch, instances, d_hidden]."""
    h = torch.einsum("idn,bin->bid", W, x)
    return h.relu() if kind.hidden_relu else h


def loss(out: torch.Tensor, x: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    """[instances]: sum over features of importance times squared error, mean over the batch."""
    return (importance * (out - x) ** 2).sum(-1).mean(0)


def gradients(W, b, x, importance, kind: Kind = TOY) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the loss (plus the activity penalty) by the chain rule, for W and b.

    x is [instances, batch, n_features] here, so that each product is one matrix product for every instance.

        h   = W x                        (or its ReLU)
        x'  = W^T h + b                  (or its ReLU)
        g   = dL/d(W^T h + b) = 2 I (x' - x) [W^T h + b > 0] / batch
        q   = dL/d(W x)       = (W g + penalty sign(h) / batch) [W x > 0]
        dL/db = sum g           dL/dW = sum (h g^T + q x^T)      since W is used twice
    """
    h = torch.bmm(x, W.mT)
    if kind.hidden_relu:
        h = h.relu_()
    out = torch.baddbmm(b[:, None, :], h, W)
    if kind.output_relu:
        out = out.relu_()
    g = (out - x).mul_(importance[:, None, :] * (2 / x.shape[1]))
    if kind.output_relu:
        g.mul_(out > 0)
    q = torch.bmm(g, W.mT)
    if kind.activity_penalty:
        q += h.sign() * (kind.activity_penalty / x.shape[1])
    if kind.hidden_relu:
        q.mul_(h > 0)
    return torch.baddbmm(torch.bmm(h.mT, g), q.mT, x), g.sum(1)


def train(
    features: Features,
    d_hidden: int,
    importance: torch.Tensor | float = 1.0,
    *,
    kind: Kind = TOY,
    steps: int = 2000,
    batch: int = 128,
    lr: float = 1e-2,
    seed: int = 0,
    snapshots: int = 1,
) -> Trained:
    """Train all instances at once with Adam (betas .9, .999) and a cosine from `lr` to 0.

    Args:
        features: The data.
        d_hidden: Width of the bottleneck.
        importance: A number, [features] or [instances, features].
        kind: The variant of the model.
        steps: Of `batch` fresh samples each. Small batches at a high rate reach the loss of batch 1024 at 1e-3 in a
            fraction of the arithmetic: the cosine takes the noise out at the end.
        batch: Samples per step and instance.
        lr: Adam's first learning rate.
        seed: For the start and the data.
        snapshots: How many copies of W to keep along the way (evenly spaced, the last step included).

    Raises:
        Diverged: With the step and the likely cause.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (features.instances, d_hidden, features.n_features)
    importance = torch.as_tensor(importance, dtype=torch.float32).expand(shape[0], shape[2])
    # One vector holds W and b, so that an optimiser step is one pass; W and b are views into it.
    theta = torch.zeros(shape[0] * (d_hidden + 1) * shape[2])
    cut = shape[0] * d_hidden * shape[2]
    W, b = theta[:cut].view(shape), theta[cut:].view(shape[0], shape[2])
    W.copy_(torch.randn(shape, generator=generator) * (2 / (d_hidden + shape[2])) ** 0.5)
    mean, variance = torch.zeros_like(theta), torch.zeros_like(theta)
    keep = sorted({round(steps * (i + 1) / snapshots) for i in range(snapshots)})
    history, first = [], W.clone()
    for step in range(1, steps + 1):
        x = features.sample(batch, generator).transpose(0, 1)
        dW, db = gradients(W, b, x, importance, kind)
        grad = torch.cat((dW.view(-1), db.view(-1)))
        if not math.isfinite(grad.sum()):
            raise Diverged(_why(step, W, x, importance, lr))
        rate = 0.5 * lr * (1 + math.cos(math.pi * (step - 1) / steps))
        mean.lerp_(grad, 0.1)
        variance.mul_(0.999).addcmul_(grad, grad, value=0.001)
        scale = (variance / (1 - 0.999**step)).sqrt_().add_(1e-8)
        theta.addcdiv_(mean, scale, value=-rate / (1 - 0.9**step))
        if step in keep:
            history.append(W.clone())
    if snapshots > 1:
        keep, history = [0, *keep], [first, *history]
    return Trained(W.clone(), b.clone(), kind, tuple(keep), torch.stack(history))


def _why(step: int, W, x, importance, lr: float) -> str:
    start = f"Training stopped at step {step}: a gradient is not finite. "
    if not bool(torch.isfinite(x).all()):
        return start + "The data holds NaN or infinity; look at how the features are sampled."
    if not bool(torch.isfinite(importance).all()):
        return start + "An importance is NaN or infinite; look at how it is computed."
    largest = float(torch.nan_to_num(W, nan=math.inf).abs().max())
    return (
        start
        + f"The weights had grown to {largest:.2g}: the learning rate {lr:g} is too high. Try {min(lr / 10, 1e-2):g}."
    )


def evaluate(
    model: Trained, features: Features, importance: torch.Tensor | float = 1.0, *, samples: int = 20_000, seed: int = 1
) -> torch.Tensor:
    """[instances]: the loss on fresh data."""
    x = features.sample(samples, torch.Generator().manual_seed(seed))
    importance = torch.as_tensor(importance, dtype=torch.float32)
    with torch.no_grad():
        return loss(forward(model.W, model.b, x, model.kind), x, importance)


def best_of(
    restarts: int, features: Features, d_hidden: int, importance=1.0, **settings
) -> tuple[Trained, torch.Tensor]:
    """Train every instance from several starts and keep the start of lowest loss: gradient descent finds local minima.

    Returns:
        The kept instances, and the losses of all starts [restarts, instances].
    """
    repeated = features.repeat(restarts)
    importance = torch.as_tensor(importance, dtype=torch.float32).expand(features.probability.shape)
    model = train(repeated, d_hidden, importance.repeat(restarts, 1), **settings)
    losses = evaluate(model, repeated, importance.repeat(restarts, 1)).view(restarts, features.instances)
    kept = losses.argmin(0) * features.instances + torch.arange(features.instances)
    return model[kept], losses
