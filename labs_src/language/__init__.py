"""Synthetic text with known truth: :mod:`labs_src.language.markov`."""
