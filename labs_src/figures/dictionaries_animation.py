"""Encoder and decoder directions over training, with a slider; resampled latents marked."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from labs_src.dictionaries.training import History
from labs_src.figures.dictionaries import _direction_table, _legend_above, _planes, _square
from labs_src.figures.figure import Figure, styled


def training(history: History, true: Tensor, instances: list[int]) -> Figure:
    """A frame for each snapshot. A latent is crossed in the first frame after it was resampled.

    Args:
        history: with snapshots.
        true: planted directions (all instances, n_features, 2).
        instances: which to show; three fit.
    """
    shown = len(instances)
    figure = make_subplots(1, shown, subplot_titles=[f"instance {i}" for i in instances], horizontal_spacing=0.03)
    marked = _resampled_since(history)
    frames, tables = [], []
    for at, step in enumerate(history.step):
        traces = []
        for place, i in enumerate(instances):
            W_enc = history.W_enc[at][i]
            traces += _planes(
                true[i], W_enc, history.W_dec[at][i], marked[at][i], "resampled since the last frame", legend=place == 0
            )
        frames.append(go.Frame(data=traces, name=str(step)))
        keep = torch.tensor(instances)
        table = _direction_table(
            true[keep], history.W_enc[at][keep], history.W_dec[at][keep], history.active[at][keep] > 0
        )
        tables.append(table.assign(instance=table.instance.map(dict(enumerate(instances))), step=step))
    for number, trace in enumerate(frames[0].data):
        figure.add_trace(trace, 1, number // 4 + 1)
    figure.frames = frames
    moved = sum(int(mask[instances].sum()) for _, mask in history.resampled)
    title = f"{moved} latents of these {shown} instances are resampled during training (slider: step)"
    styled(figure, title, height=460)
    figure.update_layout(margin={"b": 120})
    _square(figure, 1.6)
    _legend_above(figure)
    figure.update_layout(sliders=[_slider(history.step)])
    data = pd.concat(tables, ignore_index=True)[["step", *tables[0].columns[:-1]]]
    alt = f"{shown} planes; over {len(frames)} moments of training encoder and decoder arrows turn. {title}."
    return Figure(figure, alt, data)


def _resampled_since(history: History) -> list[Tensor]:
    """For each snapshot the latents resampled since the one before: (instances, d_sae), bool."""
    masks, before = [], 0
    for step, W in zip(history.step, history.W_dec):
        mask = torch.zeros(W.shape[:2], dtype=torch.bool)
        for when, dead in history.resampled:
            if before < when <= step:
                mask |= dead
        masks.append(mask)
        before = step
    return masks


def _slider(steps: list[int]) -> dict:
    mode = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    return {
        "steps": [{"method": "animate", "label": str(step), "args": [[str(step)], mode]} for step in steps],
        "currentvalue": {"prefix": "step "},
        "y": -0.25,
        "pad": {"t": 30},
    }
