"""Lab 05, reading a dictionary: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab05_causes, lab05_elsewhere, lab05_firing, lab05_labels

EXERCISES = (
    *lab05_firing.EXERCISES,
    lab05_causes.LOGIT_EFFECTS,
    *lab05_labels.EXERCISES,
    *lab05_elsewhere.EXERCISES,
    lab05_causes.SET_LATENT,
    lab05_causes.MATCHED_PUSH,
    lab05_causes.ATTRIBUTE,
)
