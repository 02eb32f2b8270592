"""Lab 08, patchscopes: its exercises in the order in which the lab meets them."""

from __future__ import annotations

from labs_src.checks import lab08_evidence, lab08_search, lab08_words

EXERCISES = (*lab08_search.EXERCISES, *lab08_evidence.EXERCISES, *lab08_words.EXERCISES)
