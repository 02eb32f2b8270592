"""Lab 09, the stability of features: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab09_agreement, lab09_causes, lab09_space

EXERCISES = (
    lab09_agreement.BEST_COSINES,
    lab09_causes.DEAD_LATENTS,
    lab09_causes.KAIMING_SPREAD,
    lab09_causes.ALIVE_SPLIT,
    lab09_agreement.GAUSSIAN_NULL,
    lab09_agreement.SEED_INTERVAL,
    lab09_causes.COPY_TEST,
    lab09_agreement.ONE_TO_ONE,
    lab09_space.SUBSPACE_OVERLAP,
    lab09_agreement.LIVE_PWMCC,
    lab09_space.EFFECTIVE_RANK,
)
