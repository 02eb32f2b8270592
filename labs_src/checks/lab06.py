"""Lab 06, attention-feature tables: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab06_attention, lab06_lists, lab06_patterns, lab06_scale, lab06_weights

EXERCISES = (
    lab06_weights.FOLD_NORMS,
    lab06_weights.QUERY_KEY_TABLE,
    lab06_lists.STRONGEST_PAIRS,
    lab06_lists.RECALL_AND_PRECISION,
    lab06_weights.VALUE_OUTPUT_TABLE,
    lab06_patterns.LIKE_AND_CROSS,
    lab06_patterns.FIND_TETRADS,
    lab06_scale.TOP_PAIRS,
    lab06_scale.TABLE_MOMENTS,
    lab06_weights.BIAS_BY_DISTANCE,
    lab06_attention.MEAN_ATTENTION_AT,
    lab06_lists.RECURRENCES,
    lab06_attention.ATTENTION_ENTROPY,
    lab06_scale.MERGE_GROUPS,
)
