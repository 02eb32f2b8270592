"""Figures of lab 03: directions in two dimensions, W^T W with norms, training, hidden states."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DIVERGING, MARKERS, Figure, styled
from labs_src.superposition import geometry

REACH = 1.35  # axes of every two-dimensional panel go from minus to plus this


def _labels(probability: torch.Tensor) -> list[str]:
    return [f"p = {p:.2g}" for p in probability.tolist()]


def _square(figure: go.Figure, panels: int, columns: int) -> None:
    """The same range and the same unit on both axes of every panel."""
    for panel in range(panels):
        row, column = panel // columns + 1, panel % columns + 1
        suffix = "" if panel == 0 else str(panel + 1)
        figure.update_xaxes(range=[-REACH, REACH], tickvals=[-1, 0, 1], constrain="domain", row=row, col=column)
        figure.update_yaxes(range=[-REACH, REACH], tickvals=[-1, 0, 1], scaleanchor=f"x{suffix}", row=row, col=column)


def _tidy(W: torch.Tensor, labels: list[str]) -> pd.DataFrame:
    rows = [
        {"panel": label, "feature": i, "h1": float(w[0, i]), "h2": float(w[1, i]), "norm": float(w[:, i].norm())}
        for label, w in zip(labels, W)
        for i in range(W.shape[2])
    ]
    return pd.DataFrame(rows)


def arrows(W: torch.Tensor, labels: list[str] | torch.Tensor, *, columns: int = 4, title: str | None = None) -> Figure:
    """Each feature's column of W as an arrow, a panel for each instance.

    Args:
        W: [instances, 2, n_features].
        labels: A panel title for each instance, or its probability.
        columns: Panels in a row.
        title: By default says how many features are kept in the first and the last panel.
    """
    if W.dim() != 3 or W.shape[1] != 2:
        raise ValueError(f"arrows needs W of shape (instances, 2, n_features), got {tuple(W.shape)}")
    labels = _labels(labels) if isinstance(labels, torch.Tensor) else labels
    count = geometry.kept(W).tolist()
    rows = -(-len(labels) // columns)
    figure = make_subplots(rows, columns, subplot_titles=labels, horizontal_spacing=0.04, vertical_spacing=0.16)
    for panel, w in enumerate(W.tolist()):
        for i in range(W.shape[2]):
            figure.add_scatter(
                x=[0, round(w[0][i], 3)],
                y=[0, round(w[1][i], 3)],
                mode="lines+markers",
                marker={"symbol": MARKERS[i % len(MARKERS)], "size": [0, 9]},
                line={"color": COLOURS[i % len(COLOURS)], "width": 2},
                name=f"feature {i}",
                legendgroup=str(i),
                showlegend=panel == 0,
                row=panel // columns + 1,
                col=panel % columns + 1,
            )
    title = title or f"{count[0]} features have a norm above 0.9 at {labels[0]}, {count[-1]} at {labels[-1]}"
    styled(figure, title, height=110 + 200 * rows)
    _square(figure, len(labels), columns)
    figure.update_xaxes(title_text="hidden unit 1", row=rows, title_standoff=4)
    figure.update_yaxes(title_text="hidden unit 2", col=1, title_standoff=4)
    listed = ", ".join(f"{c} at {label}" for c, label in zip(count, labels))
    return Figure(
        figure,
        f"Arrows from the origin, one for each feature and panel. Features with norm above 0.9: {listed}.",
        _tidy(W, labels),
    )


def gram(W: torch.Tensor, probability: torch.Tensor, choose: list[int] | None = None) -> Figure:
    """Heatmaps of W^T W above bars of each feature's norm, coloured by the interference that the others cause.

    Args:
        W: [instances, d_hidden, n_features].
        probability: [instances].
        choose: Instances to show; by default four over the range.
    """
    choose = choose or torch.linspace(0, W.shape[0] - 1, min(4, W.shape[0])).round().int().tolist()
    W, labels = W[choose], _labels(probability[choose])
    G, norm, load = W.mT @ W, geometry.norms(W), geometry.interference(W)
    width = len(choose)
    figure = make_subplots(
        2, width, subplot_titles=labels, row_heights=[0.68, 0.32], vertical_spacing=0.14, horizontal_spacing=0.05
    )
    for column in range(width):
        heat = go.Heatmap(z=_rounded(G[column]), zmin=-1.2, zmax=1.2, colorscale=DIVERGING, coloraxis="coloraxis")
        figure.add_trace(heat, row=1, col=column + 1)
        bar = go.Bar(
            y=_rounded(norm[column]),
            marker={"color": _rounded(load[column]), "coloraxis": "coloraxis2"},
            showlegend=False,
        )
        figure.add_trace(bar, row=2, col=column + 1)
    counts = (norm > 0.5).sum(1).tolist()
    said = f"{counts[0]} of {W.shape[2]} features represented at {labels[0]}, {counts[-1]} at {labels[-1]}"
    title = f"W<sup>T</sup>W in {W.shape[1]} dimensions: {said}"
    styled(figure, title, height=480)
    figure.update_yaxes(autorange="reversed", showgrid=False, row=1)
    figure.update_xaxes(showgrid=False, row=1)
    figure.update_xaxes(title_text="feature", row=2)
    figure.update_yaxes(range=[0, float(norm.max()) * 1.05], row=2)
    figure.update_yaxes(title_text="feature", row=1, col=1)
    figure.update_yaxes(title_text="norm", row=2, col=1)
    top = float(load.max())
    figure.update_layout(
        margin={"r": 90},
        coloraxis={
            "colorscale": DIVERGING,
            "cmin": -1.2,
            "cmax": 1.2,
            "colorbar": {"title": "dot", "len": 0.6, "y": 0.72, "thickness": 12},
        },
        coloraxis2={
            "colorscale": "Cividis",
            "cmin": 0,
            "cmax": max(top, 1e-3),
            "colorbar": {"title": "interference", "len": 0.38, "y": 0.14, "thickness": 12},
        },
    )
    rows = [
        {"panel": labels[k], "feature": i, "norm": float(norm[k, i]), "interference": float(load[k, i])}
        for k in range(width)
        for i in range(W.shape[2])
    ]
    off = (G - torch.diag_embed(G.diagonal(dim1=1, dim2=2))).abs().amax((1, 2)).tolist()
    alt = (
        f"Heatmaps of dot products between features, and bars of norms. The largest dot product of two features is "
        f"{off[0]:.2f} at {labels[0]} and {off[-1]:.2f} at {labels[-1]}; features with norm above 0.5: {counts}."
    )
    return Figure(figure, alt, pd.DataFrame(rows))


def training(history: torch.Tensor, steps: tuple[int, ...], probability: torch.Tensor) -> Figure:
    """A slider over the snapshots of training; a panel for each instance.

    Args:
        history: [snapshots, instances, 2, n_features].
        steps: The step of each snapshot.
        probability: [instances].
    """
    labels = _labels(probability)
    n = history.shape[3]
    marker = {
        "color": [c for i in range(n) for c in (COLOURS[i % 8],) * 3],
        "symbol": [s for i in range(n) for s in (MARKERS[i % 8],) * 3],
        "size": [0, 9, 0] * n,
    }
    figure = make_subplots(1, len(labels), subplot_titles=labels, horizontal_spacing=0.06)
    for panel in range(len(labels)):
        x, y = _spokes(history[0, panel])
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": "#888", "width": 1.5},
            marker=marker,
            showlegend=False,
            row=1,
            col=panel + 1,
        )
    for i in range(n):  # the legend; after the panels' traces, which the frames replace
        symbol = {"color": COLOURS[i % 8], "symbol": MARKERS[i % 8], "size": 9}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=symbol, name=f"feature {i}", row=1, col=1)
    frames = []
    for step, W in zip(steps, history):
        spokes = [_spokes(w) for w in W]
        frames.append(go.Frame(name=str(step), data=[go.Scatter(x=x, y=y) for x, y in spokes]))
    figure.frames = frames
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {"frame": {"duration": 120, "redraw": True}, "fromcurrent": True}
    count = geometry.kept(history[-1]).tolist()
    arrived = [
        next(s for s, k in zip(steps, geometry.kept(history[:, i]).tolist()) if k == c) for i, c in enumerate(count)
    ]
    title = f"Training: {count[0]} features kept at {labels[0]}, {count[-1]} at {labels[-1]}"
    styled(figure, title, height=430)
    figure.update_layout(
        margin={"b": 110},
        sliders=[
            {
                "currentvalue": {"prefix": "step "},
                "pad": {"t": 45},
                "steps": [{"label": str(s), "method": "animate", "args": [[str(s)], still]} for s in steps],
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "x": 0,
                "y": -0.12,
                "xanchor": "right",
                "yanchor": "top",
                "pad": {"t": 48, "r": 8},
                "buttons": [{"label": "Play", "method": "animate", "args": [None, play]}],
            }
        ],
    )
    _square(figure, len(labels), len(labels))
    figure.update_xaxes(title_text="hidden unit 1", title_standoff=4)
    figure.update_yaxes(title_text="hidden unit 2", col=1, title_standoff=4)
    rows = [
        {"step": s, "panel": labels[k], "feature": i, "h1": float(W[k, 0, i]), "h2": float(W[k, 1, i])}
        for s, W in zip(steps, history)
        for k in range(len(labels))
        for i in range(n)
    ]
    listed = "; ".join(f"{label} has its {c} kept features by step {s}" for label, c, s in zip(labels, count, arrived))
    return Figure(
        figure, f"Feature directions at {len(steps)} moments of training, under a slider. {listed}.", pd.DataFrame(rows)
    )


def hidden_states(h: torch.Tensor, active: torch.Tensor, probability: torch.Tensor) -> Figure:
    """Where inputs land in the two hidden dimensions, by how many features are on.

    Args:
        h: [batch, instances, 2].
        active: How many features are on, [batch, instances].
        probability: [instances].
    """
    labels = _labels(probability)
    figure = make_subplots(1, len(labels), subplot_titles=labels, horizontal_spacing=0.05)
    rows = []
    kinds = (("one feature on", active == 1), ("two on", active == 2), ("three or more on", active > 2))
    for panel in range(len(labels)):
        for k, (name, chosen) in enumerate(kinds):
            points = h[chosen[:, panel], panel]
            figure.add_scatter(
                x=_rounded(points[:, 0]),
                y=_rounded(points[:, 1]),
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=False,
                marker={"size": 4, "symbol": MARKERS[k], "color": COLOURS[(0, 4, 3)[k]], "opacity": 0.7},
                row=1,
                col=panel + 1,
            )
            rows += [{"panel": labels[panel], "on": name, "h1": a, "h2": b} for a, b in points.tolist()]
    for k, (name, _) in enumerate(kinds):  # the legend has all kinds, also where the first panel lacks one
        marker = {"size": 7, "symbol": MARKERS[k], "color": COLOURS[(0, 4, 3)[k]]}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, legendgroup=name, marker=marker, row=1, col=1)
    share = [float((active[:, k] == 1).sum() / (active[:, k] > 0).sum()) for k in range(len(labels))]
    said = f"{share[0]:.0%} have one feature on at {labels[0]}, {share[-1]:.0%} at {labels[-1]}"
    styled(figure, f"Of inputs that are not empty, {said}", height=370)
    figure.update_xaxes(title_text="hidden unit 1")
    figure.update_yaxes(title_text="hidden unit 2", col=1)
    for panel in range(len(labels)):
        figure.update_yaxes(scaleanchor=f"x{'' if panel == 0 else panel + 1}", row=1, col=panel + 1)
    figure.update_xaxes(constrain="domain")
    figure.update_layout(legend={"orientation": "h", "y": -0.32}, margin={"b": 110})
    alt = "Hidden states as points. " + "; ".join(
        f"at {label}, {s:.0%} of the inputs that are not empty have one feature on" for label, s in zip(labels, share)
    )
    return Figure(figure, alt + ".", pd.DataFrame(rows))


def _spokes(w: torch.Tensor) -> tuple[list, list]:
    """Lines from the origin to each column of w [2, n], separated by gaps."""
    x, y = w[0].tolist(), w[1].tolist()
    return [v for a in x for v in (0, round(a, 3), None)], [v for a in y for v in (0, round(a, 3), None)]


def _rounded(t: torch.Tensor, digits: int = 3) -> list:
    """Nested lists with few digits, so that notebooks stay small."""
    return [_rounded(row, digits) for row in t] if t.dim() > 1 else [round(v, digits) for v in t.tolist()]
