"""Figures of lab 03 that set trained models beside theory: phases of one feature of two, dimensionality."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled
from labs_src.superposition.geometry import PHASES
from labs_src.superposition.losses import critical_probability

SHADES = ("#f0f0f0", COLOURS[5], COLOURS[4])  # not represented, own dimension, superposed


def phase_diagram(
    trained: torch.Tensor, predicted: torch.Tensor, probability: torch.Tensor, relative: torch.Tensor
) -> Figure:
    """The second of two features in one dimension: what training found beside what the closed form says.

    Args:
        trained: Index into PHASES, [probabilities, ratios].
        predicted: The same from theory.
        probability: Of both features, [probabilities].
        relative: Importance of the second feature over the first's, [ratios].
    """
    agreement = float((trained == predicted).float().mean())
    figure = make_subplots(1, 2, subplot_titles=["trained", "closed form"], horizontal_spacing=0.08)
    scale = [[(k + side) / 3, SHADES[k]] for k in range(3) for side in (0, 1)]
    r, p = relative.tolist(), probability.tolist()
    for column, grid in enumerate((trained, predicted)):
        figure.add_trace(
            go.Heatmap(
                x=[round(v, 4) for v in r],
                y=[round(v, 4) for v in p],
                z=grid.tolist(),
                zmin=0,
                zmax=2,
                colorscale=scale,
                xgap=1,
                ygap=1,
                showscale=column == 1,
                colorbar={"tickvals": [1 / 3, 1, 5 / 3], "ticktext": list(PHASES), "thickness": 14},
            ),
            row=1,
            col=column + 1,
        )
        line = torch.logspace(-1, 1, 81)
        border = critical_probability(torch.minimum(line, 1 / line))
        figure.add_scatter(
            x=line.tolist(),
            y=border.tolist(),
            mode="lines",
            line={"color": "black", "dash": "dash"},
            name="p = 2r / (1 + 2.5r)",
            showlegend=column == 0,
            row=1,
            col=column + 1,
        )
    styled(
        figure,
        f"One feature of two in one dimension: training and closed form agree in {agreement:.0%} of the cells",
        height=420,
    )
    half = 0.5 * np.log10(r[1] / r[0])
    figure.update_xaxes(
        type="log",
        title_text="relative importance (second over first)",
        range=[np.log10(r[0]) - half, np.log10(r[-1]) + half],
        showgrid=False,
    )
    figure.update_yaxes(type="log", showgrid=False, tickvals=[0.03, 0.1, 0.3, 1])
    figure.update_yaxes(title_text="probability of being on, p", row=1, col=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, margin={"b": 80})
    rows = [
        {
            "probability": p[i],
            "relative importance": r[j],
            "trained": PHASES[int(trained[i, j])],
            "closed form": PHASES[int(predicted[i, j])],
        }
        for i in range(len(p))
        for j in range(len(r))
    ]
    counts = {name: int((trained == k).sum()) for k, name in enumerate(PHASES)}
    alt = (
        f"Two maps of relative importance by probability, in three regions. Trained cells: {counts}. "
        f"Below the dashed curve the feature is superposed; above it, it has its own dimension if it is the more "
        f"important one, else none."
    )
    return Figure(figure, alt, pd.DataFrame(rows))


def geometry_curve(probability: torch.Tensor, dimensionality: torch.Tensor) -> Figure:
    """Each feature's dimensionality against sparsity.

    Args:
        probability: [instances].
        dimensionality: D_i, [instances, n_features].
    """
    figure = go.Figure()
    inverse = (1 / probability).tolist()
    # Points side by side within their column, so that a cluster is seen as a cluster.
    spread = torch.linspace(0.94, 1.06, dimensionality.shape[1]).tolist()
    x = [round(v * s, 3) for v in inverse for s in spread]
    y = [round(v, 3) for row in dimensionality.tolist() for v in sorted(row)]
    figure.add_scatter(
        x=x, y=y, mode="markers", marker={"size": 3, "color": COLOURS[5]}, name="D<sub>i</sub> of each feature"
    )
    features = dimensionality.shape[1]
    even = float(dimensionality.sum(1).max()) / features  # all features, an equal share each
    for k, (value, name) in enumerate(
        ((1 / 2, "1/2 antipodal pair"), (2 / 5, "2/5 pentagon"), (even, f"{even:.2g} all {features} alike"))
    ):
        figure.add_hline(
            y=value,
            line={"color": "#777", "width": 1, "dash": DASHES[1 + k]},
            annotation_text=name,
            annotation_position="right",
        )
    paired, there = ((dimensionality - 0.5).abs() < 0.02).sum(1), (dimensionality > 0.1).sum(1)
    best = int(paired.argmax())
    said = f"{paired[best]} of {there[best]} features with D<sub>i</sub> above 0.1 are in antipodal pairs"
    styled(figure, f"At p = {probability[best]:.2g}, {said}", height=430)
    figure.update_xaxes(type="log", title_text="1 / p", tickvals=[1, 2, 5, 10, 20, 50])
    figure.update_yaxes(title_text="D<sub>i</sub>, dimensions per feature", range=[-0.02, 1.05])
    figure.update_layout(margin={"r": 130}, legend={"x": 0.98, "xanchor": "right", "y": 0.98})
    rows = [
        {"probability": float(p), "feature": i, "D": d}
        for p, row in zip(probability, dimensionality.tolist())
        for i, d in enumerate(row)
    ]
    medians = dimensionality.median(1).values.tolist()
    listed = ", ".join(f"{c:.2f} at p = {p:.2g}" for p, c in zip(probability.tolist()[::3], medians[::3]))
    return Figure(
        figure,
        f"Dots are each feature's dimensionality. Its median: {listed}.",
        pd.DataFrame(rows),
    )


def lines(data: pd.DataFrame, x: str, y: str, by: str, *, title: str, log_x: bool = False, y_range=None) -> Figure:
    """One line for each value of `by`; axes named like the columns."""
    figure = go.Figure()
    ends = []
    for k, (name, part) in enumerate(data.groupby(by, sort=False)):
        figure.add_scatter(
            x=[round(v, 4) for v in part[x]],
            y=[round(v, 5) for v in part[y]],
            mode="lines+markers",
            name=str(name),
            line={"color": COLOURS[k % 8], "dash": DASHES[k % 6]},
            marker={"symbol": MARKERS[k % 8], "size": 8},
        )
        ends.append(f"{name} from {part[y].iloc[0]:.2g} to {part[y].iloc[-1]:.2g}")
    styled(figure, title)
    figure.update_xaxes(title_text=x, type="log" if log_x else "linear")
    figure.update_yaxes(title_text=y, range=y_range)
    if log_x:
        ticks = sorted({round(v, 3) for v in data[x]})
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{v:.2g}" for v in ticks])
    first, last = data[x].iloc[0], data[x].iloc[-1]
    return Figure(figure, f"{y} against {x}, going from {first:.3g} to {last:.3g}: {'; '.join(ends)}.", data)
