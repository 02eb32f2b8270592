"""SAEs that are alike but for their seed: the instances of one `SAE`, trained side by side, shipped in one file.

Start and training are the published ones of lab 09 (github.com/brightlikethelight/HUSAI): `kaiming_uniform_` for
encoder and decoder, biases zero, the encoder reads activations as they stand, Adam at torch's defaults and a constant
rate. Decoder rows are held at length 1 (``scripts/training/train_simple_sae.py``, layer 1) or left alone
(``scripts/experiments/cross_layer_validation.py``, layer 0).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.dictionaries import training
from labs_src.dictionaries.sae import SAE, unit

SEEDS = (42, 123, 456, 789, 1011)
"""The published ones."""


def start(
    seeds: Sequence[int],
    d_in: int,
    d_sae: int,
    activation: str = "topk",
    k: int = 32,
    normalise: bool = False,
    aligned: bool = False,
) -> SAE:
    """An untrained SAE, an instance for each seed; the same numbers on every machine.

    Kaiming-uniform weights lie evenly within sqrt(6 / fan_in): the encoder reads d_in numbers, the decoder d_sae.

    Args:
        normalise: decoder rows of length 1.
        aligned: the encoder starts as the decoder, transposed.
    """

    def uniform(rng: np.random.Generator, fan_in: int, *shape: int) -> Tensor:
        bound = math.sqrt(6 / fan_in)
        return torch.from_numpy(rng.uniform(-bound, bound, shape)).float()

    rngs = [np.random.default_rng(seed) for seed in seeds]
    W_enc = torch.stack([uniform(rng, d_in, d_in, d_sae) for rng in rngs])
    W_dec = torch.stack([uniform(rng, d_sae, d_sae, d_in) for rng in rngs])
    W_dec = unit(W_dec) if normalise else W_dec
    W_enc = W_dec.mT.contiguous() if aligned else W_enc
    b_enc, b_dec = torch.zeros(len(rngs), d_sae), torch.zeros(len(rngs), d_in)
    return SAE(W_enc, b_enc, W_dec, b_dec, activation, min(k, d_sae), centred=False)


def shuffled(h: Float[Tensor, "row d_in"], seeds: Sequence[int]) -> Float[Tensor, "row instance d_in"]:
    """The rows in an order of its own for each seed."""
    orders = [torch.from_numpy(np.random.default_rng([seed, 1]).permutation(len(h))) for seed in seeds]
    return torch.stack([h[order] for order in orders], 1)


def train(
    h: Float[Tensor, "row d_in"],
    seeds: Sequence[int] = SEEDS,
    d_sae: int = 1024,
    *,
    k: int = 32,
    activation: str = "topk",
    steps: int = 1000,
    batch: int = 256,
    learning_rate: float = 3e-4,
    coefficient: float = 0.0,
    normalise: bool = True,
    aligned: bool = False,
    snapshots: int = 0,
) -> tuple[SAE, training.History]:
    """Train an SAE for each seed: its own start, and its own order of the rows."""
    sae = start(seeds, h.shape[1], d_sae, activation, k, normalise, aligned)
    history = training.train(
        sae, shuffled(h, seeds), steps=steps, batch=batch, learning_rate=learning_rate, coefficient=coefficient,
        normalise=normalise, decay=False, betas=(0.9, 0.999), snapshots=snapshots,
    )  # fmt: skip
    return sae, history


def encode(sae: SAE, h: Float[Tensor, "row d_in"]) -> Float[Tensor, "instance row d_sae"]:
    """Codes of the same rows in every instance."""
    return torch.stack([one(sae, i).encode(h[:, None])[:, 0] for i in range(len(sae.W_dec))])


def one(sae: SAE, i: int) -> SAE:
    """Instance i, as an SAE with one instance."""
    weights = (w[i : i + 1] for w in (sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec))
    return SAE(*weights, activation=sae.activation, k=sae.k, centred=sae.centred)


def save(sae: SAE, path: Path, started: Sequence[int] = ()) -> None:
    """Write a safetensors file, with what else is needed to use it as its metadata.

    Weights are kept as whole numbers from -127 to 127 and a scale for each latent; that moves a direction by a
    hundredth of its length at most.

    Args:
        started: the seeds of `start`. With them only the latents that training has moved are written, in float16: those
            that never fire have no gradient, and stay where they started to the last bit.
    """
    from safetensors.torch import save_file

    d_in, d_sae = sae.W_enc.shape[1:]
    kept = {"activation": sae.activation, "k": sae.k, "centred": sae.centred, "started": list(started)}
    if started:
        old = start(started, d_in, d_sae, sae.activation, sae.k)
        changed = (sae.W_dec != old.W_dec).any(-1) | (sae.W_enc != old.W_enc).any(1) | (sae.b_enc != 0)
        weights = {"b_dec": sae.b_dec.half(), "latent": changed.nonzero().short().contiguous()}  # (moved, 2)
        weights |= {"W_dec": sae.W_dec[changed].half(), "W_enc": sae.W_enc.mT[changed].half()}
        weights["b_enc"] = sae.b_enc[changed].half()
        kept |= {"d_in": d_in, "d_sae": d_sae}
    else:
        weights = {"b_enc": sae.b_enc.half(), "b_dec": sae.b_dec.half()}
        for name, W in (("W_enc", sae.W_enc.mT), ("W_dec", sae.W_dec)):
            scale = W.abs().amax(-1, keepdim=True) / 127
            weights |= {name: (W / scale).round().to(torch.int8), f"{name}_scale": scale}
    save_file({n: w.contiguous() for n, w in weights.items()}, path, {"sae": json.dumps(kept, sort_keys=True)})
    path.chmod(0o644)


def load(path: Path) -> SAE:
    """Read what `save` wrote, as float32."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["sae"])
        w = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dictionary)
    b_dec, b_enc = w["b_dec"].float(), w["b_enc"].float()
    if about["started"]:
        sae = start(about["started"], about["d_in"], about["d_sae"], about["activation"], about["k"])
        i, latent = w["latent"].long().T
        sae.W_dec[i, latent], sae.W_enc.mT[i, latent] = w["W_dec"].float(), w["W_enc"].float()
        sae.b_enc[i, latent], sae.b_dec = b_enc, b_dec
        return sae
    W_enc, W_dec = (w[name].float() * w[f"{name}_scale"] for name in ("W_enc", "W_dec"))
    return SAE(W_enc.mT.contiguous(), b_enc, W_dec, b_dec, about["activation"], about["k"], centred=about["centred"])


def snapshot(sae: SAE, history: training.History, step: int) -> SAE:
    """The SAE as it was at one of the steps that its history kept."""
    i = history.step.index(step)
    weights = (getattr(history, name)[i] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    return SAE(*weights, sae.activation, sae.k, centred=sae.centred)
