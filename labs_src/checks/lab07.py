"""Lab 07, errata: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import (
    lab07_causal,
    lab07_parity,
    lab07_peaks,
    lab07_programs,
    lab07_rho,
    lab07_tuning,
    lab07_writing,
)

EXERCISES = (
    lab07_rho.ROW_RHO,
    lab07_parity.FOLD,
    lab07_parity.PARITY,
    lab07_parity.ROTATE,
    lab07_rho.CODES,
    lab07_parity.FIRST,
    lab07_peaks.PEAKS,
    lab07_peaks.NULL,
    lab07_peaks.AREA,
    lab07_rho.SUSPECTS,
    *lab07_causal.EXERCISES,
    *lab07_writing.EXERCISES,
    *lab07_programs.EXERCISES,
    *lab07_tuning.EXERCISES,
    lab07_rho.CONTRIBUTIONS,
)
