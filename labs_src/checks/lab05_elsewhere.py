"""Lab 05, fourth part: a label on part of the text, and where a latent's firings come from."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab05_labels import bools, prf_by_counting, table, zero_for_nothing


def _split(rng) -> dict:
    n, latents = 80, 4
    truth = bools(rng, n, latents, share=0.35)
    fires = (truth & bools(rng, n, latents, share=0.7)) | bools(rng, n, latents, share=0.15)
    use = bools(rng, n, share=0.4)
    fires[:4], truth[:4] = True, torch.tensor([True, False, True, False])[:, None]
    use[:4] = torch.tensor([True, True, False, False])
    nothing = int(rng.integers(latents))  # neither fires nor is labelled inside the mask: 0 / 0
    fires[:, nothing] &= ~use
    truth[:, nothing] &= ~use
    return {"fires": fires, "truth": truth, "use": use}


def _within_by_loop(fires, truth, use) -> torch.Tensor:
    kept = [i for i, u in enumerate(use.tolist()) if u]
    return torch.tensor([prf_by_counting(fires[kept, j], truth[kept, j])[2] for j in range(fires.shape[1])])


def _own_f1(f, t) -> torch.Tensor:
    return 2 * (f & t).sum(0) / (f.sum(0) + t.sum(0)).clamp(min=1)


_WITHIN_MISTAKES = (
    Mistake("the mask is not used; count only tokens inside it", lambda f, t, u: _own_f1(f, t)),
    Mistake("only the firings are masked; the label's tokens outside the mask still count as misses", lambda f, t, u: _own_f1(f & u[:, None], t)),
    Mistake("only the label is masked; firings outside the mask still count as false alarms", lambda f, t, u: _own_f1(f, t & u[:, None])),
    Mistake("that is outside the mask; use keeps the tokens where it is True", lambda f, t, u: _own_f1(f[~u], t[~u])),
    Mistake("one number for all latents together; keep them apart", lambda f, t, u: _own_f1(f[u].flatten(), t[u].flatten())),
    Mistake("that is every latent against every label; latent j has the label in column j of truth", lambda f, t, u: table(f[u], t[u])),
)  # fmt: skip


def _coded(rng) -> dict:
    codes = torch.from_numpy(rng.integers(-1, 5, size=90))
    codes[:6] = torch.arange(-1, 5)
    fires = bools(rng, 90, share=0.35)
    fires[:6] = True
    return {"fires": fires, "codes": codes, "n": 6}  # the last value never occurs


def _shares_by_counting(fires, codes, n) -> torch.Tensor:
    on = [c for f, c in zip(fires.tolist(), codes.tolist(), strict=True) if f]
    return torch.tensor([on.count(value) / len(on) for value in range(n)])


def _tally(fires, codes, n) -> torch.Tensor:
    return torch.stack([(fires & (codes == v)).sum() for v in range(n)]).float()


_SHARE_MISTAKES = (
    Mistake("that is the share of each value's tokens that fire; asked is the share of the firings that each value has", lambda f, c, n: _tally(f, c, n) / torch.stack([(c == v).sum() for v in range(n)]).clamp(min=1)),
    Mistake("these are counts; divide by the number of firings", _tally),
    Mistake("divided by the number of tokens; divide by the number of firings", lambda f, c, n: _tally(f, c, n) / len(f)),
    Mistake("firings without a value (-1) are left out of the division, so the shares look larger than they are", lambda f, c, n: _tally(f, c, n) / (f & (c >= 0)).sum()),
    Mistake("firings without a value (-1) were counted for the last one: index -1 is the end of a tensor", lambda f, c, n: torch.bincount(c[f] % n, minlength=n) / f.sum()),
    Mistake("moved up by one: entry 0 counts the tokens without a value (-1); leave it out", lambda f, c, n: torch.bincount(c[f] + 1, minlength=n + 1) / f.sum()),
    Mistake("moved up by one: entry 0 counts the tokens without a value (-1); leave it out", lambda f, c, n: torch.bincount(c[f] + 1, minlength=n + 1)[:n] / f.sum()),
    Mistake("that is how the text is made up, whether the latent fires or not", lambda f, c, n: _tally(torch.ones_like(f), c, n) / len(f)),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="f1_within",
        lab="05",
        title="A label on part of the text",
        parts=(
            Part(
                "F1 of each latent with its own label, inside the mask",
                3,
                _split,
                zero_for_nothing(expect(_within_by_loop, axes="latent", mistakes=_WITHIN_MISTAKES)),
            ),
        ),
        hints=(
            "Tokens outside the mask are as if they were not in the text.",
            "Keep the rows first: fires[use], truth[use]. Then F1 column by column.",
            "f, t = fires[use], truth[use]; 2 * (f & t).sum(0) / (f.sum(0) + t.sum(0)).clamp(min=1)",
        ),
        read_again="6 How a label goes wrong",
        difficulty=2,
        importance=4,
        minutes=5,
    ),
    Exercise(
        name="firings_by",
        lab="05",
        title="Where do the firings come from?",
        parts=(
            Part(
                "the share of the firings at each value",
                2,
                _coded,
                expect(_shares_by_counting, axes="value", mistakes=_SHARE_MISTAKES),
            ),
        ),
        hints=(
            "Look only at the codes of tokens that fire.",
            "Count each value among them (torch.bincount, after dropping -1) and divide by all firings.",
            "on = codes[fires]; torch.bincount(on[on >= 0], minlength=n) / len(on)",
        ),
        read_again="6 How a label goes wrong",
        difficulty=2,
        importance=3,
        minutes=5,
    ),
)
