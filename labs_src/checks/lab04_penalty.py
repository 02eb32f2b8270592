"""Lab 04, first part: the L1 term, the forward pass, the loss and its gradient."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, difference, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Explained


def _weights(rng) -> dict:
    w = normal(rng, 9)
    w = w + 0.2 * w.sign()
    w[:2] = torch.tensor([0.004, -0.004])  # nearer to 0 than one push: a plain step goes past
    return {
        "w": w,
        "learning_rate": float(rng.uniform(0.02, 0.06)),
        "l1_coefficient": float(rng.uniform(0.4, 0.8)),
    }


def _weights_with_zeros(rng) -> dict:
    values = _weights(rng)
    values["w"][rng.permutation(9)[:4].copy()] = 0.0
    return values


def _l1_by_cases(w, learning_rate, l1_coefficient) -> torch.Tensor:
    push = learning_rate * l1_coefficient
    return torch.tensor([x - push if x > 0 else x + push if x < 0 else 0.0 for x in w.double().tolist()])


_L1_MISTAKES = (
    Mistake("the push is proportional to w: that is the L2 penalty. The slope of |w| does not depend on how large w is", lambda w, r, c: w * (1 - 2 * r * c)),
    Mistake("the push is proportional to w; the slope of |w| is +1 or -1", lambda w, r, c: w * (1 - r * c)),
    Mistake("|w| is the penalty, not its slope: the slope is the sign of w", lambda w, r, c: w - r * c * w.abs()),
    Mistake("a ReLU cuts off the negative weights; here w may have either sign, and a plain step has no ReLU", lambda w, r, c: (w - r * c * w.sign()).relu()),
    Mistake("a ReLU cuts off the negative weights; here w may have either sign, and a plain step has no ReLU", lambda w, r, c: (w - r * c).relu()),
    Mistake("the step stops at 0; a plain gradient step goes past it when w is nearer than the push", lambda w, r, c: w.sign() * (w.abs() - r * c).relu()),
    Mistake("this step climbs; gradient descent subtracts the gradient", lambda w, r, c: w + r * c * w.sign()),
    Mistake("at w = 0 the weight moves; take the slope of |w| at 0 as 0", lambda w, r, c: w - r * c * torch.where(w >= 0, 1.0, -1.0)),
    Mistake("at w = 0 the weight moves; take the slope of |w| at 0 as 0", lambda w, r, c: w - r * c * torch.where(w > 0, 1.0, -1.0)),
    Mistake("negative weights are pushed away from 0; the slope of |w| is -1 there", lambda w, r, c: w - r * c * (w != 0)),
    Mistake("the coefficient is missing", lambda w, r, c: w - r * w.sign()),
    Mistake("the learning rate is missing", lambda w, r, c: w - c * w.sign()),
)  # fmt: skip


def _forward_inputs(rng) -> dict:
    batch, instances, d_in, d_sae = 7, 3, 4, 6
    return {
        "h": normal(rng, batch, instances, d_in) + 0.5,
        "W_enc": normal(rng, instances, d_in, d_sae, scale=0.7),
        "b_enc": normal(rng, instances, d_sae, scale=0.5) + 0.3,
        "W_dec": normal(rng, instances, d_sae, d_in, scale=0.7),
        "b_dec": normal(rng, instances, d_in, scale=0.6) + 0.4,
    }


def _encode_by_loop(h, W_enc, b_enc, W_dec, b_dec) -> torch.Tensor:
    h, W_enc, b_enc, b_dec = (t.double() for t in (h, W_enc, b_enc, b_dec))
    z = torch.zeros(h.shape[0], *b_enc.shape, dtype=torch.float64)
    for n in range(h.shape[0]):
        for i in range(h.shape[1]):
            for j in range(b_enc.shape[1]):
                pre = float(b_enc[i, j]) + sum(
                    float((h[n, i, d] - b_dec[i, d]) * W_enc[i, d, j]) for d in range(h.shape[2])
                )
                z[n, i, j] = max(pre, 0.0)
    return z


def _enc(h, W_enc, b_enc, b_dec, relu=True):
    pre = torch.einsum("bid,ids->bis", h - b_dec, W_enc) + b_enc
    return pre.relu() if relu else pre


_WITH_INSTANCES = Explained("the axes do not fit: h is (batch, instances, ...), the weights (instances, ...).")


_ENCODE = expect(
    lambda *a: {"z": _encode_by_loop(*a)},
    axes={"z": "batch instance latent"},
    mistakes=(
        Mistake(
            "z has negative entries: the ReLU is missing",
            lambda h, We, be, Wd, bd: {"z": _enc(h, We, be, bd, relu=False)},
        ),
        Mistake("b_enc is missing", lambda h, We, be, Wd, bd: {"z": _enc(h, We, 0, bd)}),
        Mistake(
            "b_enc is added after the ReLU; it belongs before, where it decides what is on",
            lambda h, We, be, Wd, bd: {"z": _enc(h, We, 0, bd) + be},
        ),
        Mistake(
            "h is not centred: b_dec has to be subtracted before W_enc",
            lambda h, We, be, Wd, bd: {"z": _enc(h, We, be, 0)},
        ),
        Mistake("b_dec is added; centring subtracts it", lambda h, We, be, Wd, bd: {"z": _enc(h, We, be, -bd)}),
        Mistake("both biases are missing", lambda h, We, be, Wd, bd: {"z": _enc(h, We, 0, 0)}),
        Mistake("b_enc is subtracted; it is added", lambda h, We, be, Wd, bd: {"z": _enc(h, We, -be, bd)}),
        Mistake(
            "W_enc is the decoder transposed: this SAE is not tied, use W_enc",
            lambda h, We, be, Wd, bd: {"z": _enc(h, Wd.mT, be, bd)},
        ),
    ),
)


_AS_DICT = 'return a dict, {"z": z, "h_hat": h_hat}'


def _encode_judge(inputs, value) -> str | None:
    return _ENCODE(inputs, value) if isinstance(value, dict) else f"{_AS_DICT}; got a {type(value).__name__}"


def _decode_judge(inputs, value) -> str | None:
    """h_hat against the decoding of the learner's own z, so that an error in z costs only its own points."""
    if not isinstance(value, dict) or "z" not in value or "h_hat" not in value:
        return _AS_DICT
    z, W, b = value["z"], inputs["W_dec"], inputs["b_dec"]
    if not isinstance(z, torch.Tensor) or z.shape != (inputs["h"].shape[0], *inputs["b_enc"].shape):
        return "z has another shape than (batch, instances, d_sae), so h_hat cannot be judged"

    def decode(b, W=W, z=z):
        return torch.stack([torch.stack([z[n, i] @ W[i] for i in range(W.shape[0])]) for n in range(z.shape[0])]) + b

    message = difference(value["h_hat"], decode(b), axes="batch instance d_in", rtol=1e-3)
    if message is None:
        return None
    named = {
        "b_dec is missing from h_hat": decode(0),
        "a ReLU stands after the decoder: h has negative coordinates, which it cannot reach": decode(b).relu(),
        "b_dec is subtracted from h_hat; it is added back": decode(-b),
        "the ReLU came before b_dec was added: the decoder is linear": decode(0).relu() + b,
        "W_dec was not used: h_hat goes through W_enc transposed, but this SAE is not tied": decode(
            b, inputs["W_enc"].mT
        ),
    }
    return next(
        (text for text, wrong in named.items() if difference(value["h_hat"], wrong, rtol=1e-3) is None), message
    )


def _loss_inputs(rng) -> dict:
    batch, instances, d_in, d_sae = 7, 3, 4, 6
    return {
        "h": normal(rng, batch, instances, d_in),
        "h_hat": normal(rng, batch, instances, d_in),
        "z": normal(rng, batch, instances, d_sae).relu() * 2,
        "l1_coefficient": float(rng.uniform(0.3, 0.9)),
    }


def _loss_by_loop(h, h_hat, z, l1_coefficient) -> torch.Tensor:
    batch, instances, _ = h.shape
    total = [0.0] * instances
    for n in range(batch):
        for i in range(instances):
            squares = sum((a - b) ** 2 for a, b in zip(h_hat[n, i].tolist(), h[n, i].tolist(), strict=True))
            total[i] += (squares + l1_coefficient * sum(abs(x) for x in z[n, i].tolist())) / batch
    return torch.tensor(total)


def _error(h, h_hat):
    return (h_hat - h).pow(2)


_LOSS_MISTAKES = (
    Mistake("the L1 term is averaged over the latents; sum it, or wider dictionaries pay less", lambda h, y, z, c: (_error(h, y).sum(-1) + c * z.mean(-1)).mean(0)),
    Mistake("the squared error is averaged over d_in; sum it", lambda h, y, z, c: (_error(h, y).mean(-1) + c * z.sum(-1)).mean(0)),
    Mistake("both terms are averaged over their last axis; sum them", lambda h, y, z, c: (_error(h, y).mean(-1) + c * z.mean(-1)).mean(0)),
    Mistake("the batch is summed; average over it", lambda h, y, z, c: (_error(h, y).sum(-1) + c * z.sum(-1)).sum(0)),
    Mistake("the penalty squares the latents: that is L2, which leaves them small but not zero", lambda h, y, z, c: (_error(h, y).sum(-1) + c * z.pow(2).sum(-1)).mean(0)),
    Mistake("the penalty is missing", lambda h, y, z, c: _error(h, y).sum(-1).mean(0)),
    Mistake("the penalty lacks its coefficient", lambda h, y, z, c: (_error(h, y).sum(-1) + z.sum(-1)).mean(0)),
    Mistake("the reconstruction error is not squared", lambda h, y, z, c: ((y - h).abs().sum(-1) + c * z.sum(-1)).mean(0)),
    Mistake("one number for all instances; keep them apart, each is an autoencoder of its own", lambda h, y, z, c: (_error(h, y).sum(-1) + c * z.sum(-1)).mean()),
    Mistake("one number for all instances; keep them apart, each is an autoencoder of its own", lambda h, y, z, c: (_error(h, y).sum(-1) + c * z.sum(-1)).mean(0).sum()),
)  # fmt: skip


def _gradient_inputs(rng) -> dict:
    values = _loss_inputs(rng)
    values["z"] = values["z"] * torch.from_numpy(rng.random(values["z"].shape) < 0.7)
    return {k: values[k] for k in ("h", "h_hat", "z")} | {
        "W_dec": normal(rng, 3, 6, 4),
        "l1_coefficient": values["l1_coefficient"],
    }


def _gradient_by_autograd(h, h_hat, z, W_dec, l1_coefficient) -> torch.Tensor:
    """Differentiate the loss with respect to pre, where z = ReLU(pre) and h_hat = z @ W_dec + what is needed."""
    h, h_hat, z, W = (t.double() for t in (h, h_hat, z, W_dec))
    offset = h_hat - torch.einsum("bis,isd->bid", z, W)
    with torch.enable_grad():
        pre = torch.where(z > 0, z, torch.full_like(z, -1.0)).requires_grad_()
        latents = pre.relu()
        out = torch.einsum("bis,isd->bid", latents, W) + offset
        loss = (out - h).pow(2).sum() / len(h) + l1_coefficient * latents.abs().sum() / len(h)
        return torch.autograd.grad(loss, pre)[0]


def _grad(h, y, z, W, c, two=2.0, mask=True, l1_mask=True):
    data = two * torch.einsum("bid,isd->bis", y - h, W) / len(h)
    on = (z > 0).float()
    return data * (on if mask else 1) + c / len(h) * (on if l1_mask else 1)


_GRADIENT_MISTAKES = (
    Mistake("silent latents get a gradient: where z = 0 the ReLU passes nothing back", lambda *a: _grad(*a, mask=False, l1_mask=False)),
    Mistake("silent latents get the L1 push: the slope of |z| at 0 is taken as 0, and the ReLU passes nothing back", lambda *a: _grad(*a, l1_mask=False)),
    Mistake("silent latents get the error's gradient: where z = 0 the ReLU passes nothing back", lambda *a: _grad(*a, mask=False)),
    Mistake("the L1 push is missing", lambda h, y, z, W, c: _grad(h, y, z, W, 0.0)),
    Mistake("the L1 push is averaged over the latents; the loss sums them", lambda h, y, z, W, c: _grad(h, y, z, W, c / z.shape[-1])),
    Mistake("the 2 of the square is missing", lambda *a: _grad(*a, two=1.0)),
    Mistake("the error has the wrong sign: it is h_hat - h", lambda *a: _grad(*a, two=-2.0)),
    Mistake("not divided by the batch: the loss is a mean over it", lambda *a: _grad(*a) * len(a[0])),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="l1_step",
        lab="04",
        title="A gradient step on the L1 penalty",
        parts=(
            Part("weights that are not 0", 1, _weights, expect(_l1_by_cases, mistakes=_L1_MISTAKES)),
            Part("a weight at 0 stays there", 1, _weights_with_zeros, expect(_l1_by_cases, mistakes=_L1_MISTAKES)),
        ),
        hints=(
            "The slope of |w| is +1 or -1. Which function of w gives that, and 0 at 0?",
            "w minus learning rate times coefficient times the sign of w.",
            "w - learning_rate * l1_coefficient * w.sign()",
        ),
        read_again="Two penalties on one weight",
        difficulty=1,
        importance=3,
        minutes=3,
    ),
    Exercise(
        name="sae_forward",
        lab="04",
        title="The sparse autoencoder, forwards",
        parts=(
            Part("the latents z", 2, _forward_inputs, _encode_judge, probe=_WITH_INSTANCES),
            Part("the reconstruction h_hat of these latents", 2, _forward_inputs, _decode_judge, probe=_WITH_INSTANCES),
        ),
        hints=(
            'Every instance has its own matrices: torch.einsum("bid,ids->bis", ...) keeps the instances apart.',
            "Subtract b_dec, multiply with W_enc, add b_enc, ReLU. Then multiply with W_dec and add b_dec.",
            'z = (torch.einsum("bid,ids->bis", h - b_dec, W_enc) + b_enc).relu(); the decoder is "bis,isd->bid", plus b_dec.',
        ),
        read_again="The autoencoder",
        difficulty=2,
        importance=5,
        minutes=8,
    ),
    Exercise(
        name="sae_loss",
        lab="04",
        title="Reconstruction error plus the L1 term",
        parts=(
            Part(
                "one loss for each instance",
                2,
                _loss_inputs,
                expect(_loss_by_loop, axes="instance", mistakes=_LOSS_MISTAKES),
            ),
        ),
        hints=(
            "Which of the three axes (batch, instance, d_in or latent) is summed, which averaged, which kept?",
            "Sum over the last axis in both terms; then average over the batch, axis 0; keep the instances.",
            "((h_hat - h)**2).sum(-1) + l1_coefficient * z.sum(-1), then .mean(0)",
        ),
        read_again="The autoencoder",
        difficulty=2,
        importance=4,
        minutes=4,
    ),
    Exercise(
        name="latent_gradient",
        lab="04",
        title="The gradient at the pre-activations",
        parts=(
            Part(
                "d loss / d pre",
                3,
                _gradient_inputs,
                expect(_gradient_by_autograd, axes="batch instance latent", mistakes=_GRADIENT_MISTAKES),
            ),
        ),
        hints=(
            "Go backwards: from h_hat through W_dec to z, add what |z| contributes, then through the ReLU.",
            "d loss / d h_hat is 2 (h_hat - h) / batch. Multiply with W_dec transposed, add l1_coefficient / batch, then zero what is silent.",
            'd_z = torch.einsum("bid,isd->bis", 2 * (h_hat - h), W_dec) + l1_coefficient; return d_z * (z > 0) / len(h)',
        ),
        read_again="Training it",
        difficulty=4,
        importance=3,
        minutes=10,
    ),
)
