"""Figures of lab 03 about hidden units: W as bars, one row for each neuron."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from labs_src.figures.figure import DIVERGING, Figure, styled
from labs_src.superposition import geometry


def neuron_weights(W: torch.Tensor, labels: list[str], threshold: float = 0.3) -> Figure:
    """Heatmaps of W, a row for each hidden unit, a column for each feature.

    Args:
        W: [panels, d_hidden, n_features].
        labels: A title for each panel.
        threshold: From which |weight| a unit counts as responding.
    """
    if len(labels) != W.shape[0]:
        raise ValueError(f"{W.shape[0]} panels need as many labels; got {len(labels)}")
    figure = make_subplots(1, W.shape[0], subplot_titles=labels, horizontal_spacing=0.06)
    for k, w in enumerate(W):
        z = [[round(v, 3) for v in row] for row in w.tolist()]
        figure.add_trace(go.Heatmap(z=z, coloraxis="coloraxis", xgap=1, ygap=1), row=1, col=k + 1)
    poly = (geometry.features_per_neuron(W, threshold) >= 2).sum(-1).tolist()
    said = ", ".join(f"{count} of {W.shape[1]}" for count in poly)
    styled(figure, f"Hidden units that respond to two or more features: {said}", height=330)
    figure.update_layout(
        coloraxis={"colorscale": DIVERGING, "cmin": -1.2, "cmax": 1.2, "colorbar": {"title": "weight", "thickness": 12}}
    )
    figure.update_xaxes(title_text="feature", showgrid=False, dtick=1 if W.shape[2] <= 12 else None)
    figure.update_yaxes(showgrid=False, autorange="reversed", dtick=1)
    figure.update_yaxes(title_text="hidden unit", row=1, col=1)
    rows = [
        {"panel": labels[k], "hidden unit": u, "feature": i, "weight": float(W[k, u, i])}
        for k in range(W.shape[0])
        for u in range(W.shape[1])
        for i in range(W.shape[2])
    ]
    listed = "; ".join(f"{label}: {count} of {W.shape[1]}" for label, count in zip(labels, poly))
    return Figure(
        figure,
        f"Weights from features to hidden units. Units that respond to two or more features: {listed}.",
        pd.DataFrame(rows),
    )
