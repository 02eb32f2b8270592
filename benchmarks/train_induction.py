"""The induction recipe against the plain one, as a ratio of CPU seconds in one run.

Ours is ``labs_src.models.recipes.induction``. The plain one is what a first attempt looks like: learning rate 1e-3,
learned positions added to the stream, TransformerLens's default initial weights, repeated blocks alone (the same ones),
batch 64. Both stop at an induction score above .8, on blocks of the same length. The plain one gets ``--budget`` times
our CPU seconds; when it has not arrived by then the gain is a lower bound, printed with ">".
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks import COLUMNS

TARGET = 0.8
PLAIN_LEARNING_RATE, PLAIN_BATCH = 1e-3, 64


def fast_seconds(seed: int) -> float | None:
    """CPU seconds of our recipe until the target, evaluations included; None if it does not arrive."""
    from labs_src.models.recipes import induction

    run = induction.train(seed=seed, stop=lambda entry: entry["induction"] > TARGET)
    last = run.history[-1]
    return last["seconds"] if last["induction"] > TARGET else None


def plain_seconds(seed: int, budget: float) -> tuple[float, float]:
    """CPU seconds of the plain recipe until the target or the budget, and the induction score by then."""
    import torch

    from labs_src.language import markov
    from labs_src.models.attention_only import AttentionOnly
    from labs_src.models.recipes import measure

    class Plain(AttentionOnly):
        """The same model with positions in the stream, the usual way."""

        def forward(self, tokens):
            n = tokens.shape[-1]
            x = self._at("hook_embed", self.W_E[tokens]) + self.W_pos[:n]
            zero = torch.zeros_like(x)
            for layer in range(self.cfg.n_layers):
                x = x + self._attention(layer, x, zero)
            return x @ self.W_U

    model, probe = Plain(seed=seed), measure.eval_tokens(batch=8)
    g = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data.normal_(0, 0.8 / model.cfg.d_model**0.5, generator=g)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PLAIN_LEARNING_RATE, fused=True)
    g = torch.Generator().manual_seed(seed + 1000)
    started, step, score = time.process_time(), 0, 0.0
    while time.process_time() - started < budget:
        tokens = markov.repeated_batch(PLAIN_BATCH, model.cfg.n_ctx, g)
        loss = measure.per_token_loss(model(tokens), tokens).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 25 == 0:
            score = max(max(layer) for layer in measure.scores(model, probe)["induction"])
            if score > TARGET:
                break
    return time.process_time() - started, score


def main(argv: Sequence[str] | None = None) -> int:
    """Print one row: what, our CPU seconds, the plain recipe's, the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, default=5.0, help="the plain recipe's CPU seconds, as a multiple of ours"
    )
    args = parser.parse_args(argv)
    import torch

    torch.set_num_threads(1)
    ours = fast_seconds(args.seed)
    if ours is None:
        print(f"induction recipe, seed {args.seed}: score {TARGET} not reached", file=sys.stderr)
        return 1
    plain, score = plain_seconds(args.seed, args.budget * ours)
    arrived = score > TARGET
    note = "learning rate 1e-3, default initial weights, positions in the stream, repeats only, batch 64"
    if not arrived:
        note += f"; score {score:.2f} when stopped"
    # the plain recipe has needed at least this long: its time is a lower bound, our share of it an upper bound
    more, less = ("", "") if arrived else ("> ", "< ")
    print(
        COLUMNS.format(
            f"training to induction score {TARGET:.1f}",
            f"{ours:.1f} CPU s",
            f"{more}{plain:.0f} CPU s",
            f"{less}{ours / plain:.2f}",
            f"{more}{plain / ours:.0f}x; {note}",
        ),
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
