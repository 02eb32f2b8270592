"""Lab 01, the residual stream: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab01_attention, lab01_basis, lab01_block, lab01_jacobian, lab01_norms, lab01_reading

_ROOMS = (lab01_norms, lab01_attention, lab01_block, lab01_reading, lab01_jacobian, lab01_basis)

EXERCISES = tuple(exercise for room in _ROOMS for exercise in room.EXERCISES)
