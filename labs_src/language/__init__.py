"""Synthetic text with known truth: syllables (:mod:`~labs_src.language.markov`, labs 01 and 02) and English-like
passages that say what made every token (:mod:`~labs_src.language.corpus`, the mini-gemma models)."""
