"""Lab 04, sparse autoencoders: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab04_directions, lab04_penalty, lab04_resampling

_ROOMS = (lab04_penalty, lab04_directions, lab04_resampling)

EXERCISES = tuple(exercise for room in _ROOMS for exercise in room.EXERCISES)
