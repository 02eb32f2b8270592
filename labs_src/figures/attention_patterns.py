"""Attention patterns as heatmaps: queries down, keys across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots
from torch import Tensor

from labs_src.figures.figure import SEQUENTIAL, Figure, styled


def percent(pattern: Tensor) -> np.ndarray:
    """Probabilities as whole percents in one byte each, which is all that a screen shows."""
    return (100 * pattern).round().clamp(0, 100).to("cpu").numpy().astype(np.uint8)


def grid(
    patterns: Mapping[str, Tensor], labels: Sequence[str] | None = None, columns: int = 4, title: str = ""
) -> Figure:
    """One heatmap for each named pattern.

    Args:
        patterns: Name to (query, key) pattern.
        labels: The token at each position, for the axes; positions if None.
        columns: Heatmaps in a row.
        title: Says what is to be seen; made from the strongest pattern if empty.
    """
    names = list(patterns)
    peaks = {key: _offset_of_peak(pattern) for key, pattern in patterns.items()}
    headings = [f"{key}: {distance} back" for key, (distance, _) in peaks.items()]
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(rows, columns, subplot_titles=headings, horizontal_spacing=0.05, vertical_spacing=0.13)
    for i, key in enumerate(names):
        figure.add_heatmap(
            z=percent(patterns[key]),
            zmin=0,
            zmax=100,
            colorscale=SEQUENTIAL,
            showscale=i == 0,
            colorbar={"title": "attention (%)", "thickness": 12},
            hovertemplate="query %{y}, key %{x}: %{z}%<extra>" + key + "</extra>",
            row=i // columns + 1,
            col=i % columns + 1,
        )
    strongest = max(peaks, key=lambda key: peaks[key][1])
    distance, share = peaks[strongest]
    title = title or f"Strongest stripe: {strongest}, {distance} back ({100 * share:.0f}% of attention)"
    styled(figure, title, height=90 + 250 * rows if columns > 2 else 90 + 380 * rows)
    figure.update_yaxes(autorange="reversed", constrain="domain", showgrid=False)
    figure.update_xaxes(constrain="domain", showgrid=False)
    figure.for_each_yaxis(lambda axis: axis.update(scaleanchor=axis.anchor))
    if labels is not None:
        ticks = {"tickvals": list(range(len(labels))), "ticktext": list(labels), "tickfont": {"size": 8}}
        figure.update_xaxes(**ticks, tickangle=-90)
        figure.update_yaxes(**ticks)
    figure.update_xaxes(title="key", title_standoff=4, row=rows)
    figure.update_yaxes(title="query", title_standoff=2, col=1)
    parts = [f"{key} attends most often {d} back ({100 * share:.0f}% on average)" for key, (d, share) in peaks.items()]
    data = pd.DataFrame([{"head": k, "distance": d, "mean attention": s} for k, (d, s) in peaks.items()])
    return Figure(figure, "Attention patterns, query by key. " + "; ".join(parts) + ".", data)


def _offset_of_peak(pattern: Tensor) -> tuple[int, float]:
    """The distance to which most attention goes on average, and how much. The last two thirds of distances are rare."""
    means = [float(pattern.diagonal(-offset).mean()) for offset in range(max(1, 2 * pattern.shape[-1] // 3))]
    best = int(np.argmax(means))
    return best, means[best]
