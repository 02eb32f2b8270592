"""Asking a neuron what it wants: vectors that drive it, what they are made of, what the model says about them.

And whether any of that is true. After "Gradient-based patchscopes" (P Sam Sahil and Joseph Miller 2026), which builds
on Ghandeharioun et al. 2024 ("Patchscopes", https://arxiv.org/abs/2401.06102).
"""
