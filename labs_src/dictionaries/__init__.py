"""Sparse autoencoders: the lesson's own (`sae`, `resampling`, `recovery`) and a bridge to sae-lens (`bridge`)."""
