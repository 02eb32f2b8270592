"""The induction recipe against the plain one, as a ratio of CPU seconds in one run.

Ours is ``labs_src.models.recipes.induction``. The plain one is what a first attempt looks like: learning rate 1e-3,
learned positions added to the stream, repeated blocks alone, batch 64, tokens drawn the same way. Both stop at an
induction score above .8. The plain one gets ``--budget`` times our CPU seconds; when it has not arrived by then the
ratio is a lower bound and printed with ">".
"""

from __future__ import annotations

import argparse
import os
import sys
import time

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


def main(argv: list[str] | None = None) -> int:
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
    print(
        f"training to induction score {TARGET:.1f} | ours {ours:.1f} CPU s | plain {'' if arrived else '> '}"
        f"{plain:.1f} CPU s{'' if arrived else f' (score {score:.2f} by then)'} | ratio {'' if arrived else '> '}"
        f"{plain / ours:.1f}x"
    )
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    raise SystemExit(main())
