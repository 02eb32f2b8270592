"""The 16-instance SAE of lab 04: hand-written gradients and small batches, beside the obvious implementation.

The obvious way: autograd, torch's Adam at 1e-3, batches of 1024 drawn anew at every step, empty inputs included, 10,000
steps. Both start from the same weights (encoder aligned with the decoder, so that none dies), hold the decoder at
length 1, and are measured on the same held-out inputs: loss, and instances with all five planted features recovered.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks import line
from labs_src.dictionaries import planted, recovery
from labs_src.dictionaries.sae import SAE, new_sae, unit
from labs_src.dictionaries.training import train
from labs_src.superposition import data

INSTANCES, PROBABILITY, L1 = 16, 0.025, 0.25


def ours(sae: SAE, problem: planted.Planted) -> None:
    train(sae, problem.h, steps=2000, batch=128, learning_rate=1e-2, coefficient=L1)


def obvious(sae: SAE, problem: planted.Planted, steps: int) -> None:
    """What one would write first. The trained weights are put back into `sae`."""
    source = data.make([PROBABILITY] * INSTANCES, problem.directions.shape[1])
    weights = {name: torch.nn.Parameter(w.clone()) for name, w in sae.weights().items()}
    optimiser = torch.optim.Adam(weights.values(), lr=1e-3)
    for _ in range(steps):
        h = planted.activations(source.sample(1024), problem.directions)
        z = (torch.einsum("bid,ids->bis", h - weights["b_dec"], weights["W_enc"]) + weights["b_enc"]).relu()
        h_hat = torch.einsum("bis,isd->bid", z, weights["W_dec"]) + weights["b_dec"]
        loss = (h_hat - h).pow(2).sum(-1).mean(0).sum() + L1 * z.sum(-1).mean(0).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            weights["W_dec"].copy_(unit(weights["W_dec"]))
    for name, w in weights.items():
        getattr(sae, name).copy_(w.detach())


def measured(sae: SAE, h: Tensor, directions: Tensor) -> tuple[float, int]:
    """Held-out loss, and instances with every feature recovered."""
    z = sae.encode(h)
    loss = (sae.decode(z) - h).pow(2).sum(-1).mean() + L1 * z.sum(-1).mean()
    return float(loss), recovery.recovered_instances(directions, sae.W_dec, (z > 0).any(0))


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line: CPU seconds of both ways, with what each reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000, help="steps of the obvious way")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    problem = planted.problem(planted.pentagon(INSTANCES, arguments.seed), PROBABILITY, arguments.seed)
    seconds, results = [], []
    for way in (ours, lambda sae, problem: obvious(sae, problem, arguments.steps)):
        sae = new_sae(INSTANCES, 2, 5, arguments.seed, aligned=True)
        started = time.process_time()
        way(sae, problem)
        seconds.append(time.process_time() - started)
        results.append(measured(sae, problem.held_out, problem.directions))
    (loss, found), (other_loss, other_found) = results
    reached = f"loss {loss:.4f}, {found}/16 recovered; obvious: {other_loss:.4f}, {other_found}/16"
    print(line("SAE, 16 instances (CPU)", *seconds, note=f"{reached} (autograd, Adam 1e-3, batch 1024)"))


if __name__ == "__main__":
    main()
