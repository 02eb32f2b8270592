"""Lab 05, third part: what a latent promotes, and what happens when it is changed."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, difference, expect, normal
from labs_src.checks.contract import Exercise, Part


def _weights(rng) -> dict:
    """A gain far from 1, as in a model whose norms are spread."""
    return {"W_dec": normal(rng, 6, 5), "norm_weight": normal(rng, 5, scale=0.9) - 0.2, "W_U": normal(rng, 5, 8)}


def _effects_by_loop(W_dec, norm_weight, W_U) -> torch.Tensor:
    out = torch.zeros(W_dec.shape[0], W_U.shape[1], dtype=torch.float64)
    for latent, token in torch.cartesian_prod(*map(torch.arange, out.shape)).tolist():
        for d in range(W_dec.shape[1]):
            out[latent, token] += float(W_dec[latent, d]) * (1 + float(norm_weight[d])) * float(W_U[d, token])
    return out


_EFFECTS_MISTAKES = (
    Mistake("the final norm's gain is left out; it stretches each dimension before W_U reads it", lambda D, g, U: D @ U),
    Mistake("the gain is 1 + norm_weight in Gemma; this multiplies by norm_weight alone", lambda D, g, U: (D * g) @ U),
    Mistake("divided by the gain; the norm multiplies with it", lambda D, g, U: (D / (1 + g)) @ U),
    Mistake("the latents were normalised first. That discards how long the direction becomes", lambda D, g, U: torch.nn.functional.normalize(D * (1 + g), dim=-1) @ U),
    Mistake("the latents were normalised first. A latent's row goes in as it stands", lambda D, g, U: (torch.nn.functional.rms_norm(D, D.shape[-1:]) * (1 + g)) @ U),
    Mistake("that is a softmax; asked are logits", lambda D, g, U: ((D * (1 + g)) @ U).softmax(-1)),
)  # fmt: skip


def _judge_effects(inputs, value) -> str | None:
    """As usual; and a row that is right but for a factor of its own was divided by a length, whichever."""
    message = expect(_effects_by_loop, axes="latent token", mistakes=_EFFECTS_MISTAKES)(inputs, value)
    right = _effects_by_loop(*inputs.values())
    if message is None or message in {m.message for m in _EFFECTS_MISTAKES}:
        return message
    if not isinstance(value, torch.Tensor) or value.shape != right.shape:
        return message
    factor = (value * right).sum(1, keepdim=True) / right.pow(2).sum(1, keepdim=True)
    if difference(value, factor * right, rtol=1e-3) is None and bool((factor > 0).all()):
        return "each latent's row has a factor of its own. Was something divided by a length or an rms? Leave that out"
    return message


def _codes(rng) -> dict:
    x, z = normal(rng, 3, 4, 5, scale=2.0), normal(rng, 3, 4, 6).relu()
    return {
        "x": x,
        "z": z,
        "W_dec": normal(rng, 6, 5),
        "latent": int(rng.integers(1, 6)),
        "value": float(rng.uniform(2, 5)),
    }


def _off(rng) -> dict:
    return _codes(rng) | {"value": 0.0}


def _set_by_reconstruction(x, z, W_dec, latent, value) -> torch.Tensor:
    """Reconstruction with the latent changed, plus the error of the old one. (The decoder bias cancels.)"""
    x, z, W_dec = x.double(), z.double(), W_dec.double()
    error = x - torch.stack([sum(z[..., j, None] * W_dec[j] for j in range(W_dec.shape[0]))])[0]
    new = z.clone()
    new[..., latent] = value
    return sum(new[..., j, None] * W_dec[j] for j in range(W_dec.shape[0])) + error


def _rebuilt(x, z, D, i, v) -> torch.Tensor:
    new = z.clone()
    new[..., i] = v
    return new @ D


def _projected(x, z, D, i, v) -> torch.Tensor:
    unit = D[i] / D[i].norm()
    return x - (x @ unit)[..., None] * unit + v * D[i]


def _where_on(x, z, D, i, v) -> torch.Tensor:
    return torch.where(z[..., i, None] > 0, _set_by_reconstruction(x, z, D, i, v).float(), x)


_SET_MISTAKES = (
    Mistake("the error term is lost: this is the dictionary's reconstruction. Change x by what the latent's change makes", _rebuilt),
    Mistake("`value` is added on top; the latent's old part has to go first", lambda x, z, D, i, v: x + v * D[i]),
    Mistake("`value` is not used: this sets the latent to 0. Its change is value - z", lambda x, z, D, i, v: x - z[..., i, None] * D[i]),
    Mistake("the latent's old part is still there, and counted once more: its change is value - z", lambda x, z, D, i, v: x + (v + z[..., i, None]) * D[i]),
    Mistake("the sign is the wrong way round: the change is value - z", lambda x, z, D, i, v: x - (v - z[..., i, None]) * D[i]),
    Mistake("everything along this direction is removed, other latents' share of it too; remove z times the direction", _projected),
    Mistake("changed only where the latent fired; `value` is asked at every token", _where_on),
    Mistake("that removes the whole reconstruction, not one latent", lambda x, z, D, i, v: x - z @ D + v * D[i]),
)  # fmt: skip


def _push(rng) -> dict:
    push = normal(rng, 2, 5, 7, scale=3.0) * torch.from_numpy(rng.uniform(0.2, 4.0, size=(2, 5, 1))).float()
    push[0, 2] = 0  # the latent was silent there
    return {"push": push, "noise": normal(rng, 2, 5, 7) + 0.5 * push.sign()}


def _matched_by_loop(push, noise) -> torch.Tensor:
    out = torch.zeros_like(push, dtype=torch.float64)
    for place in torch.cartesian_prod(*map(torch.arange, push.shape[:2])).tolist():
        p, n = (t[place[0], place[1]].double() for t in (push, noise))
        if p.norm() == 0:
            continue
        unit = p / p.norm()
        rest = n - sum(a * b for a, b in zip(n, unit, strict=True)) * unit
        out[place[0], place[1]] = rest * p.norm() / rest.norm()
    return out


def _orthogonal(p, n) -> torch.Tensor:
    return n - (n * p).sum(-1, keepdim=True) / p.pow(2).sum(-1, keepdim=True).clamp(min=1e-12) * p


def _scaled(rest, p) -> torch.Tensor:
    return rest * p.norm(dim=-1, keepdim=True) / rest.norm(dim=-1, keepdim=True)


def _nan(p, n) -> torch.Tensor:
    unit = p / p.norm(dim=-1, keepdim=True)
    return _scaled(n - (n * unit).sum(-1, keepdim=True) * unit, p)


_PUSH_MISTAKES = (
    Mistake("the lengths match, but part of it still points along push; take that part out first", lambda p, n: _scaled(n, p)),
    Mistake("orthogonal to push, but not of its length", _orthogonal),
    Mistake("scaled first and made orthogonal after, so the length is too short at the end", lambda p, n: _orthogonal(p, _scaled(n, p))),
    Mistake("one length for all tokens; each token's push has its own", lambda p, n: _orthogonal(p, n) * p.norm() / _orthogonal(p, n).norm()),
    Mistake("one length for all tokens; each token's push has its own", lambda p, n: torch.nn.functional.normalize(_orthogonal(p, n), dim=-1) * p.norm()),
    Mistake("the part along push is (noise . push) / |push|^2 times push; the division by |push|^2 is missing", lambda p, n: _scaled(n - (n * p).sum(-1, keepdim=True) * p, p)),
    Mistake("the part along push is (noise . push) / |push|^2 times push; this divides by |push| once", lambda p, n: _scaled(n - (n * p).sum(-1, keepdim=True) / p.norm(dim=-1, keepdim=True).clamp(min=1e-12) * p, p)),
    Mistake("where push is 0 you divide 0 by 0; there the control is 0 too", _nan),
    Mistake("projected along push, not away from it", lambda p, n: _scaled(n - _orthogonal(p, n) + 1e-12, p)),
    Mistake("the part along push was taken out of all tokens together; each token has its own", lambda p, n: _scaled(n - (n * p).sum() / p.pow(2).sum() * p, p)),
)  # fmt: skip


def _slopes(rng) -> dict:
    return {"z": normal(rng, 3, 4, 6).relu(), "W_dec": normal(rng, 6, 5), "gradient": normal(rng, 3, 4, 5)}


def _attribution_by_removal(z, W_dec, gradient) -> torch.Tensor:
    """Of a model that is linear with this gradient: the logit with the latent less the logit without it."""
    z, W_dec, gradient = z.double(), W_dec.double(), gradient.double()
    out = torch.zeros_like(z)
    whole = ((z @ W_dec) * gradient).sum()
    for b, t, j in torch.cartesian_prod(*map(torch.arange, z.shape)).tolist():
        without = z.clone()
        without[b, t, j] = 0
        out[b, t, j] = whole - ((without @ W_dec) * gradient).sum()
    return out


_ATTRIBUTION_MISTAKES = (
    Mistake("that is the slope for one unit of each latent; multiply by how active it is", lambda z, D, g: g @ D.T),
    Mistake("the gradient is not used; this says how active a latent is, not what it does", lambda z, D, g: z * D.norm(dim=-1)),
    Mistake("the gradient is not used; this is the length of what a latent writes, squared by its activity", lambda z, D, g: z * (z @ D @ D.T)),
    Mistake("summed over the latents: one number for each token. Keep them apart", lambda z, D, g: ((z @ D) * g).sum(-1)),
    Mistake("summed over positions; a latent has an attribution at each token", lambda z, D, g: (z * (g @ D.T)).sum(1)),
    Mistake("summed over texts and positions; a latent has an attribution at each token", lambda z, D, g: (z * (g @ D.T)).sum((0, 1))),
    Mistake("absolute values; the sign says whether the latent helps or hinders the logit", lambda z, D, g: (z * (g @ D.T)).abs()),
    Mistake("the directions were normalised; a latent writes z times its row as it stands", lambda z, D, g: z * (g @ torch.nn.functional.normalize(D, dim=-1).T)),
    Mistake("the gradient was normalised; its length is the slope, so it goes in as it stands", lambda z, D, g: z * (torch.nn.functional.normalize(g, dim=-1) @ D.T)),
    Mistake("the gradient was normalised; its length is the slope, so it goes in as it stands", lambda z, D, g: z * (g / g.norm() @ D.T)),
    Mistake("multiplied by whether the latent fires; multiply by how strongly", lambda z, D, g: (z > 0) * (g @ D.T)),
)  # fmt: skip


LOGIT_EFFECTS = Exercise(
    name="logit_effects",
    lab="05",
    title="What a latent promotes and demotes",
    parts=(
        Part(
            "the final norm's gain folded in",
            3,
            _weights,
            _judge_effects,
        ),
    ),
    hints=(
        "Three things happen to a direction on its way to the logits: the norm's division, its gain, W_U. Leave out the first.",
        "The gain multiplies each dimension of a decoder row, by 1 + norm_weight.",
        "(W_dec * (1 + norm_weight)) @ W_U",
    ),
    read_again="3 What it promotes",
    difficulty=2,
    importance=4,
    minutes=5,
)

SET_LATENT = Exercise(
    name="set_latent",
    lab="05",
    title="One latent changed, the rest untouched",
    parts=(
        Part(
            "any value: steering",
            2,
            _codes,
            expect(_set_by_reconstruction, axes="text pos d_in", mistakes=_SET_MISTAKES),
        ),
        Part(
            "value 0: ablation", 1, _off, expect(_set_by_reconstruction, axes="text pos d_in", mistakes=_SET_MISTAKES)
        ),
    ),
    hints=(
        "x = reconstruction + error, and only one summand of the reconstruction changes.",
        "The summand is z * W_dec[latent]; it becomes value * W_dec[latent]. Add the difference to x.",
        "x + (value - z[..., latent, None]) * W_dec[latent]",
    ),
    read_again="7 Changing a latent",
    difficulty=2,
    importance=5,
    minutes=6,
)

MATCHED_PUSH = Exercise(
    name="matched_push",
    lab="05",
    title="A control as large as the treatment",
    parts=(
        Part(
            "as long as push at every token, and at right angles to it",
            3,
            _push,
            expect(_matched_by_loop, axes="text pos d_in", mistakes=_PUSH_MISTAKES, rtol=1e-3),
        ),
    ),
    hints=(
        "Two steps: take out of noise what points along push, then scale what is left.",
        "Along push: (noise * push).sum(-1, keepdim=True) / push.pow(2).sum(-1, keepdim=True) * push. Where push is 0, avoid 0 / 0.",
        "rest = noise - that; return rest * push.norm(dim=-1, keepdim=True) / rest.norm(dim=-1, keepdim=True)",
    ),
    read_again="7 Changing a latent",
    difficulty=3,
    importance=4,
    minutes=8,
)

ATTRIBUTE = Exercise(
    name="attribute",
    lab="05",
    title="A logit, divided among latents",
    parts=(
        Part(
            "activation times slope, for each latent at each token",
            3,
            _slopes,
            expect(_attribution_by_removal, axes="text pos latent", mistakes=_ATTRIBUTION_MISTAKES),
        ),
    ),
    hints=(
        "How much does the logit change, to first order, when a latent goes from z to 0?",
        "The slope along latent j is the dot product of the gradient with W_dec[j]; multiply by z.",
        "z * (gradient @ W_dec.T)",
    ),
    read_again="8 Attribution",
    difficulty=2,
    importance=4,
    minutes=5,
)
