"""Lab 04, second part: decoder directions, encoder and decoder together, recovery."""

from __future__ import annotations

import math

import numpy as np
import torch

from labs_src.checks.compare import Mistake, difference, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Explained, Only


def _decoder(rng) -> dict:
    return {"W_dec": normal(rng, 3, 6, 4, scale=2.0)}


def _rows_by_loop(W_dec) -> torch.Tensor:
    out = W_dec.double().clone()
    for i in range(W_dec.shape[0]):
        for j in range(W_dec.shape[1]):
            out[i, j] /= math.sqrt(sum(x * x for x in W_dec[i, j].double().tolist()))
    return out


_NORMALISE_MISTAKES = (
    Mistake("wrong axis: every coordinate was normalised over the latents; a latent's direction is a row, along d_in", lambda W: W / W.norm(dim=1, keepdim=True)),
    Mistake("wrong axis: normalised over the instances; a latent's direction is a row, along d_in", lambda W: W / W.norm(dim=0, keepdim=True)),
    Mistake("the decoder is not normalised", lambda W: W),
    Mistake("each instance was divided by one number; every latent has a length of its own", lambda W: W / W.flatten(1).norm(dim=1)[:, None, None]),
    Mistake("everything was divided by one number; every latent has a length of its own", lambda W: W / W.norm()),
    Mistake("divided by the squared length; take the root", lambda W: W / W.pow(2).sum(-1, keepdim=True)),
    Mistake("the rows sum to 1 in absolute value; length is the root of the sum of squares", lambda W: W / W.abs().sum(-1, keepdim=True)),
)  # fmt: skip


def _cheat_inputs(rng) -> dict:
    return {
        "W_enc": normal(rng, 3, 4, 6),
        "b_enc": normal(rng, 3, 6) + 0.2,
        "W_dec": normal(rng, 3, 6, 4),
        "factor": float(rng.uniform(3.0, 9.0)),
        "h": normal(rng, 40, 3, 4),
        "b_dec": normal(rng, 3, 4),
    }


def _run(h, W_enc, b_enc, W_dec, b_dec):
    h, W_enc, b_enc, W_dec, b_dec = (t.double() for t in (h, W_enc, b_enc, W_dec, b_dec))
    z = (torch.einsum("bid,ids->bis", h - b_dec, W_enc) + b_enc).relu()
    return z.sum(-1).mean(0), torch.einsum("bis,isd->bid", z, W_dec) + b_dec


def _judge_cheat(inputs, value) -> str | None:
    """By what it does: the same h_hat for every h, and a penalty divided by the factor."""
    given = {k: inputs[k] for k in ("W_enc", "b_enc", "W_dec")}
    if not isinstance(value, dict) or set(given) - set(value):
        return 'expected a dict with the keys "W_enc", "b_enc" and "W_dec"'
    for name, weight in given.items():
        if not isinstance(value[name], torch.Tensor) or value[name].shape != weight.shape:
            return f"{name} should be a tensor of shape {tuple(weight.shape)}"
    h, b_dec, factor = inputs["h"], inputs["b_dec"], inputs["factor"]
    l1, h_hat = _run(h, *given.values(), b_dec)
    new_l1, new_h_hat = _run(h, *(value[k] for k in given), b_dec)
    ratio = float((l1 / new_l1.clamp(min=1e-12)).mean())
    if difference(new_h_hat, h_hat, rtol=1e-3, atol=1e-3) is not None:
        if (
            difference(value["b_enc"], given["b_enc"]) is None
            and difference(value["W_enc"], given["W_enc"]) is not None
        ):
            return "h_hat changes: b_enc has to shrink together with W_enc, or z does not shrink by one factor"
        return "h_hat changes; what the encoder loses the decoder has to give back"
    if difference(new_l1, l1 / factor, rtol=1e-3) is None:
        return None
    if abs(ratio * factor - 1) < 1e-2:
        return (
            f"the penalty becomes {factor:.3g} times larger, not smaller: shrink the encoder and lengthen the decoder"
        )
    return f"h_hat stays, but the penalty is divided by {ratio:.3g}, not by {factor:.3g}"


def _two_vectors(rng) -> dict:
    return {"u": normal(rng, 5), "v": normal(rng, 5)}


def _map_by_basis(u, v) -> torch.Tensor:
    """Column j of the matrix is what the latent makes of the j-th basis vector."""
    columns = []
    for j in range(len(u)):
        x = torch.zeros(len(u), dtype=torch.float64)
        x[j] = 1.0
        z = sum(float(a) * float(b) for a, b in zip(u, x, strict=True))
        columns.append(z * v.double())
    return torch.stack(columns, dim=1)


def _both(rng) -> dict:
    return {"W_enc": normal(rng, 3, 4, 6), "W_dec": normal(rng, 3, 6, 4, scale=2.0)}


def _cosine_by_loop(W_enc, W_dec) -> torch.Tensor:
    out = torch.zeros(W_dec.shape[:2], dtype=torch.float64)
    for i in range(W_dec.shape[0]):
        for j in range(W_dec.shape[1]):
            u, v = W_enc[i, :, j].double().tolist(), W_dec[i, j].double().tolist()
            dot = sum(a * b for a, b in zip(u, v, strict=True))
            out[i, j] = dot / math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))
    return out


_TRANSPOSED = Explained("W_enc is (instances, d_in, d_sae), W_dec (instances, d_sae, d_in): transpose one with .mT.")

_COSINE_MISTAKES = (
    Mistake("wrong axis: the sum runs over the latents; it should run over d_in", lambda E, D: torch.nn.functional.cosine_similarity(E.mT, D, dim=1)),
    Mistake("reshaped where it should be transposed: the numbers of W_enc landed in other places", lambda E, D: torch.nn.functional.cosine_similarity(E.reshape(D.shape), D, dim=-1)),
    Mistake("that is the dot product; divide by both lengths", lambda E, D: (E.mT * D).sum(-1)),
    Mistake("divided by the decoder's length only", lambda E, D: (E.mT * D).sum(-1) / D.norm(dim=-1)),
    Mistake("divided by the encoder's length only", lambda E, D: (E.mT * D).sum(-1) / E.norm(dim=1)),
    Mistake("one number for each instance; keep the latents apart", lambda E, D: _cosine_by_loop(E, D).mean(-1)),
    Mistake("wrong axis: the encoder direction of latent j is the column W_enc[i, :, j]", lambda E, D: (E.mT * D).sum(-1) / E.norm(dim=2).mean(1, keepdim=True) / D.norm(dim=-1)),
    Mistake("that is every latent against every other; latent j has one encoder and one decoder direction", lambda E, D: torch.nn.functional.normalize(E, dim=1).mT @ torch.nn.functional.normalize(D, dim=-1).mT),
)  # fmt: skip


def _two_gradients(rng) -> dict:
    return {"grad_W_enc": normal(rng, 3, 4, 6), "grad_W_dec": normal(rng, 3, 6, 4)}


def _tied_by_loop(grad_W_enc, grad_W_dec) -> torch.Tensor:
    out = torch.zeros_like(grad_W_dec)
    for i, j, d in np.ndindex(*grad_W_dec.shape):
        out[i, j, d] = grad_W_dec[i, j, d] + grad_W_enc[i, d, j]
    return out


_TIED_MISTAKES = (
    Mistake("only the decoder's use of the weight is counted; the encoder uses it too", lambda E, D: D),
    Mistake("only the encoder's use of the weight is counted; the decoder uses it too", lambda E, D: E.mT),
    Mistake("averaged; the two uses add up", lambda E, D: (D + E.mT) / 2),
    Mistake("reshaped where it should be transposed: the numbers of W_enc landed in other places", lambda E, D: D + E.reshape(D.shape)),
    Mistake("this is the gradient of W_enc's shape; return it as W_dec (instances, d_sae, d_in)", lambda E, D: E + D.mT),
)  # fmt: skip


def _recovery_inputs(rng) -> dict:
    """Six orthogonal features; latents at known angles from them, in other lengths, order and states."""
    d_in, degrees = 9, float(rng.uniform(8.5, 10.5))  # as radians these have a negative cosine
    basis = torch.from_numpy(np.linalg.qr(rng.normal(size=(d_in, d_in)))[0]).float()
    extra = basis[6]  # a direction that no feature uses, to tilt towards

    def at(feature: int, share: float) -> torch.Tensor:
        angle = math.radians(share * degrees)
        return math.cos(angle) * basis[feature] + math.sin(angle) * extra

    # found, dead, the other way round, too far, just near enough, nobody
    latents = [(at(0, 0.5), True), (at(1, 0.4), False), (-at(2, 0.3), True), (at(3, 1.4), True), (at(4, 0.9), True), (basis[7], True), (at(4, 0.2), False)]  # fmt: skip
    order = rng.permutation(len(latents))
    lengths = torch.from_numpy(rng.uniform(0.3, 3.0, len(latents))).float()
    lengths[list(order).index(0)] = 0.3  # found, but short: a dot product in place of a cosine misses it
    swap = torch.from_numpy(rng.permutation(6))
    stretch = torch.from_numpy(rng.uniform(0.5, 2.0, 6)).float()[:, None]
    stretch[swap.argsort()[3]] = 1.5  # not found, but long: a dot product in place of a cosine finds it
    return {
        "directions": basis[:6][swap] * stretch,
        "W_dec": torch.stack([latents[i][0] for i in order]) * lengths[:, None],
        "alive": torch.tensor([latents[i][1] for i in order]),
        "degrees": degrees,
    }


def _recovered_by_loop(directions, W_dec, alive, degrees) -> torch.Tensor:
    found = []
    for f in directions.double().numpy():
        angles = [
            math.degrees(math.acos(np.clip(f @ w / np.linalg.norm(f) / np.linalg.norm(w), -1, 1)))
            for w, on in zip(W_dec.double().numpy(), alive.tolist(), strict=True)
            if on
        ]
        found.append(bool(angles) and min(angles) < degrees)
    return torch.tensor(found)


def _cos(f, W, normalise=True):
    unit = torch.nn.functional.normalize
    return unit(f, dim=-1) @ unit(W, dim=-1).T if normalise else f @ W.T


_RECOVERY_MISTAKES = (
    Mistake("the planted directions are not of length 1, so these products are no cosines", lambda f, W, a, g: ((f @ torch.nn.functional.normalize(W, dim=-1).T > math.cos(math.radians(g))) & a).any(-1)),
    Mistake("the cosine was taken of degrees; it wants radians", lambda f, W, a, g: ((_cos(f, W) > math.cos(g)) & a).any(-1)),
    Mistake("a latent that points the other way counts as found; drop the absolute value", lambda f, W, a, g: ((_cos(f, W).abs() > math.cos(math.radians(g))) & a).any(-1)),
    Mistake("a dead latent counts as found; it never fires", lambda f, W, a, g: (_cos(f, W) > math.cos(math.radians(g))).any(-1)),
    Mistake("the rows of W_dec are not of length 1, so these products are no cosines", lambda f, W, a, g: ((torch.nn.functional.normalize(f, dim=-1) @ W.T > math.cos(math.radians(g))) & a).any(-1)),
    Mistake("the directions are not of length 1, so these products are no cosines", lambda f, W, a, g: ((_cos(f, W, False) > math.cos(math.radians(g))) & a).any(-1)),
    Mistake("inverted: a feature is found when a cosine is large", lambda f, W, a, g: ~((_cos(f, W) > math.cos(math.radians(g))) & a).any(-1)),
    Mistake("this says which latents found a feature; return one answer for each feature", lambda f, W, a, g: ((_cos(f, W) > math.cos(math.radians(g))) & a).any(0)),
    Mistake("`all` asks that every latent be near this feature; one is enough", lambda f, W, a, g: ((_cos(f, W) > math.cos(math.radians(g))) & a).all(-1)),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="recovered_features",
        lab="04",
        title="Which planted features were found",
        parts=(
            Part(
                "a feature is found by a live latent that points its way",
                3,
                _recovery_inputs,
                expect(_recovered_by_loop, axes="feature", mistakes=_RECOVERY_MISTAKES),
            ),
        ),
        hints=(
            "Rows of length 1 on both sides make one matrix of cosines: features by latents.",
            "Compare with cos(degrees in radians); a dead latent does not count; one near latent is enough.",
            "near = cosines > math.cos(math.radians(degrees)); return (near & alive).any(dim=-1)",
        ),
        read_again="Training it",
        difficulty=2,
        importance=4,
        minutes=6,
    ),
    Exercise(
        name="normalise_decoder",
        lab="04",
        title="Decoder rows of length 1",
        parts=(
            Part(
                "every latent's direction has length 1",
                1,
                _decoder,
                expect(_rows_by_loop, axes="instance latent d_in", mistakes=_NORMALISE_MISTAKES),
            ),
        ),
        hints=(
            "W_dec is (instances, d_sae, d_in). Along which axis does one latent's direction lie?",
            "The last. keepdim=True makes the division line up.",
            "W_dec / W_dec.norm(dim=-1, keepdim=True)",
        ),
        read_again="The length of a decoder row",
        difficulty=1,
        importance=4,
        minutes=2,
    ),
    Exercise(
        name="cheat_the_penalty",
        lab="04",
        title="The same reconstruction for less L1",
        parts=(
            Part(
                "the same h_hat, the penalty divided by the factor",
                2,
                _cheat_inputs,
                _judge_cheat,
                probe=Only(("W_enc", "b_enc", "W_dec", "factor")),
            ),
        ),
        hints=(
            "ReLU(x / c) = ReLU(x) / c for every c > 0.",
            "Make z smaller by the factor, and what the decoder makes of it larger by the same.",
            "W_enc and b_enc divided by the factor, W_dec times the factor.",
        ),
        read_again="The length of a decoder row",
        difficulty=2,
        importance=4,
        minutes=4,
    ),
    Exercise(
        name="latent_map",
        lab="04",
        title="One latent as a matrix",
        parts=(
            Part(
                "the matrix M with h_hat = M x",
                1,
                _two_vectors,
                expect(
                    _map_by_basis,
                    axes="out in",
                    mistakes=(
                        Mistake(
                            "that is u v^T: it reads with v and writes with u. M x has to point along v", torch.outer
                        ),
                        Mistake("that is the number u . v; the map takes a vector to a vector", lambda u, v: u @ v),
                        Mistake("entry by entry is no matrix: M[i, j] = v[i] * u[j]", lambda u, v: u * v),
                        Mistake(
                            "that only scales each coordinate: M[i, j] = v[i] * u[j]", lambda u, v: torch.diag(u * v)
                        ),
                    ),
                ),
            ),
        ),
        hints=(
            "The latent is a number, u . x. It multiplies v.",
            "v (u^T x) = (v u^T) x, by moving the brackets.",
            "torch.outer(v, u)",
        ),
        read_again="Why encoder and decoder align",
        difficulty=1,
        importance=3,
        minutes=3,
    ),
    Exercise(
        name="encoder_decoder_cosine",
        lab="04",
        title="The angle between reading and writing",
        parts=(
            Part(
                "one cosine for each latent of each instance",
                2,
                _both,
                expect(_cosine_by_loop, axes="instance latent", mistakes=_COSINE_MISTAKES),
                probe=_TRANSPOSED,
            ),
        ),
        hints=(
            "W_enc.mT has the shape of W_dec: then row j of both belongs to latent j.",
            "Multiply entry by entry, sum over d_in, divide by both lengths.",
            "torch.nn.functional.cosine_similarity(W_enc.mT, W_dec, dim=-1)",
        ),
        read_again="Why encoder and decoder align",
        difficulty=2,
        importance=3,
        minutes=4,
    ),
    Exercise(
        name="tied_gradient",
        lab="04",
        title="The gradient of a weight that is used twice",
        parts=(
            Part(
                "encoder and decoder use add up",
                1,
                _two_gradients,
                expect(_tied_by_loop, axes="instance latent d_in", mistakes=_TIED_MISTAKES),
                probe=_TRANSPOSED,
            ),
        ),
        hints=(
            "W_enc = W_dec transposed: each entry of W_dec is used in two places.",
            "The chain rule adds the gradients of both uses; transpose the encoder's to W_dec's shape.",
            "grad_W_dec + grad_W_enc.mT",
        ),
        read_again="Tied and untied",
        difficulty=2,
        importance=2,
        minutes=3,
    ),
)
