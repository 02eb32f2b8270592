"""Lab 04's figures: penalties, directions in the plane, sweeps, alignment, live latents, gains over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled

TRUE, DECODER, ENCODER = "#999999", COLOURS[0], COLOURS[1]


def hidden_states(h: Tensor, directions: Tensor) -> Figure:
    """One instance: activations h (n, 2) and the planted directions (n_features, 2)."""
    data = pd.DataFrame({"h0": h[:, 0].numpy(), "h1": h[:, 1].numpy()})
    marker = {"size": 3, "color": ENCODER}
    figure = go.Figure(go.Scatter(x=_short(h[:, 0]), y=_short(h[:, 1]), mode="markers", name="h", marker=marker))
    planted = {"name": "planted (click to show)", "line": {"color": TRUE, "width": 3}, "visible": "legendonly"}
    figure.add_scatter(**_arrows(directions, 1.25), **planted)
    on_axis = _on_one_ray(h, directions)
    styled(figure, f"{on_axis:.0%} of the activations lie on one of {len(directions)} rays", height=420, width=480)
    _square(figure)
    alt = f"Points in the plane on {len(directions)} rays from the origin, at even angles; a few lie between two rays."
    return Figure(figure, alt, data)


def _on_one_ray(h: Tensor, directions: Tensor) -> float:
    unit = h / h.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return float(((unit @ directions.mT).amax(-1) > 0.9999).float().mean())


def shrinking(paths: dict[str, list[float]], learning_rate: float) -> Figure:
    """Paths of one weight under each penalty alone: name -> value after each step."""
    data = pd.DataFrame(
        [(name, step, w) for name, path in paths.items() for step, w in enumerate(path)],
        columns=["penalty", "step", "weight"],
    )
    figure, ends = go.Figure(), []
    for i, (name, path) in enumerate(paths.items()):
        figure.add_scatter(
            y=_short(path), name=name, mode="lines", line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}
        )
        zero = next((step for step, w in enumerate(path) if abs(w) < learning_rate / 1e3), None)
        ends.append(
            f"{name} reaches 0 at step {zero}" if zero is not None else f"{name} still has {path[-1]:.2g} at the end"
        )
    styled(figure, "; ".join(ends))
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="weight")
    return Figure(figure, f"The weight against steps, one line for each penalty: {'; '.join(ends)}.", data)


def directions(true: Tensor, W_enc: Tensor, W_dec: Tensor, alive: Tensor, title: str) -> Figure:
    """Encoder and decoder directions of a few instances beside the planted ones.

    Args:
        true: (instances, n_features, 2).
        W_enc: (instances, 2, d_sae).
        W_dec: (instances, d_sae, 2).
        alive: (instances, d_sae).
        title: the finding.
    """
    shown = len(true)
    figure = make_subplots(1, shown, subplot_titles=[f"instance {i}" for i in range(shown)], horizontal_spacing=0.03)
    for i in range(shown):
        for trace in _planes(true[i], W_enc[i], W_dec[i], ~alive[i], "dead latent", legend=i == 0):
            figure.add_trace(trace, 1, i + 1)
    styled(figure, title, height=360)
    _square(figure, 1.35)
    _legend_above(figure)
    alt = f"{shown} planes with planted, encoder and decoder directions from the origin; dead latents crossed. {title}."
    return Figure(figure, alt, _direction_table(true, W_enc, W_dec, alive))


def _planes(true: Tensor, W_enc: Tensor, W_dec: Tensor, marked: Tensor, mark: str, legend: bool) -> list[go.Scatter]:
    """The four traces of one plane: planted, decoder, encoder, marked latents."""
    tips = W_dec[marked]
    planted, solid = {"color": TRUE, "width": 6}, {"color": DECODER, "width": 2.5}
    dotted = {"color": ENCODER, "width": 1.5, "dash": "dot"}
    cross = {"symbol": "x", "size": 11, "color": COLOURS[6]}
    x, y = _short(tips[:, 0]), _short(tips[:, 1])
    traces = [
        go.Scatter(**_arrows(true, 1.25), name="planted feature", line=planted, opacity=0.5),
        go.Scatter(**_arrows(W_dec), name="decoder", line=solid, marker=_tips(len(W_dec), DECODER, 0)),
        go.Scatter(**_arrows(W_enc.mT), name="encoder", line=dotted, marker=_tips(W_enc.shape[1], ENCODER, 1)),
        go.Scatter(x=x, y=y, mode="markers", name=mark, marker=cross),
    ]
    return [trace.update(showlegend=legend) for trace in traces]


def _tips(n: int, colour: str, shape: int) -> dict:
    return {"size": [0, 6, 0] * n, "color": colour, "symbol": MARKERS[shape]}


def _arrows(rows: Tensor, length: float = 1.0) -> dict:
    """Segments from the origin to each row, as one trace."""
    x, y = [], []
    for row in rows.tolist():
        x += [0.0, round(length * row[0], 3), None]
        y += [0.0, round(length * row[1], 3), None]
    return {"x": x, "y": y, "mode": "lines+markers" if length == 1.0 else "lines"}


def _direction_table(true: Tensor, W_enc: Tensor, W_dec: Tensor, alive: Tensor) -> pd.DataFrame:
    unit = W_dec / W_dec.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    best = (unit @ (true / true.norm(dim=-1, keepdim=True)).mT).max(-1)
    aligned = (W_enc.mT * unit).sum(-1) / W_enc.norm(dim=1).clamp(min=1e-12)
    rows = [
        (i, j, bool(alive[i, j]), int(best.indices[i, j]), float(best.values[i, j]), float(aligned[i, j]))
        for i in range(W_dec.shape[0])
        for j in range(W_dec.shape[1])
    ]
    return pd.DataFrame(
        rows, columns=["instance", "latent", "alive", "nearest feature", "cosine with it", "encoder-decoder cosine"]
    )


def width_sweep(table: pd.DataFrame) -> Figure:
    """Columns penalty ("sum", "mean"), d_sae, l0, recovered (share of features)."""
    figure = make_subplots(
        1, 2, subplot_titles=["active latents in an input", "share of features recovered"], horizontal_spacing=0.12
    )
    for i, (name, part) in enumerate(table.groupby("penalty", sort=False)):
        style = {
            "mode": "lines+markers",
            "line": {"color": COLOURS[i], "dash": DASHES[i]},
            "marker": {"symbol": MARKERS[i], "size": 9},
        }
        figure.add_scatter(x=part.d_sae, y=_short(part.l0), name=f"{name} over latents", row=1, col=1, **style)
        figure.add_scatter(
            x=part.d_sae, y=_short(part.recovered), name=str(name), showlegend=False, row=1, col=2, **style
        )
    widest = table[table.d_sae == table.d_sae.max()].set_index("penalty").recovered
    shares = f"the sum recovers {widest['sum']:.0%} of the features, the mean {widest['mean']:.0%}"
    title = f"At d_sae = {table.d_sae.max()} {shares}"
    styled(figure, title, height=360)
    figure.update_xaxes(title="d_sae", type="log", tickvals=sorted(table.d_sae.unique()))
    figure.update_yaxes(rangemode="tozero")
    _legend_above(figure)
    return Figure(
        figure, f"Two plots against d_sae, a line each for the sum and the mean of the L1 term. {title}.", table
    )


def runaway(step: list[int], length: list[float], l1: list[float]) -> Figure:
    """Without normalisation: mean decoder length and the sum of |z|, over training."""
    data = pd.DataFrame({"step": step, "decoder length": length, "sum of |z|": l1})
    figure = go.Figure()
    for i, name in enumerate(data.columns[1:]):
        figure.add_scatter(
            x=data.step, y=_short(data[name]), name=name, line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}
        )
    title = (
        f"The decoder grows {length[-1] / length[0]:.0f} times longer, the penalty shrinks {l1[0] / l1[-1]:.0f}-fold"
    )
    styled(figure, title)
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="length of a row; sum of |z|", type="log")
    return Figure(figure, f"Two lines on a logarithmic scale over training. {title}.", data)


def alignment(step: list[int], curves: dict[str, list[float]]) -> Figure:
    """Mean cosine of encoder and decoder direction over training, a line for each way to start."""
    data = pd.DataFrame(
        [(name, s, c) for name, curve in curves.items() for s, c in zip(step, curve)],
        columns=["start", "step", "cosine"],
    )
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=step, y=_short(curve), name=name, line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}
        )
    ends = "; ".join(f"{curve[-1]:.3f} ({name})" for name, curve in curves.items())
    styled(figure, f"Cosine of encoder and decoder at the end: {ends}")
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="cosine of encoder and decoder direction")
    return Figure(figure, f"The cosine over training, a line for each run; at the end {ends}.", data)


def live_latents(step: list[int], curves: dict[str, list[float]], resampled: list[int]) -> Figure:
    """Share of latents that fire, over training; dotted lines where dead latents were resampled."""
    data = pd.DataFrame(
        [(name, s, a) for name, curve in curves.items() for s, a in zip(step, curve)],
        columns=["run", "step", "share alive"],
    )
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        style = {"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}
        figure.add_scatter(
            x=step, y=_short(curve), name=name, mode="lines+markers", line=style, marker={"symbol": MARKERS[i]}
        )
    for s in resampled:
        figure.add_vline(x=s, line={"color": "#999999", "dash": "dot", "width": 1})
    ends = ", ".join(f"{curve[-1]:.0%} {name}" for name, curve in curves.items())
    styled(figure, f"Latents that fire at the end: {ends}")
    figure.update_xaxes(title="step (dotted: some latents were resampled)")
    figure.update_yaxes(title="share of latents that fire in a batch", range=[0, 1.05])
    _legend_above(figure)
    return Figure(figure, f"Lines over training, one for each run: {ends} fire at the end.", data)


def gains(table: pd.DataFrame, mean: float, low: float, high: float) -> Figure:
    """One row a seed: seed, without, with (shares of features recovered). The interval is that of with - without."""
    figure = go.Figure()
    for i, name in enumerate(("without", "with")):
        marker = {"symbol": MARKERS[i], "size": 10, "color": COLOURS[i]}
        figure.add_scatter(
            x=table.seed, y=_short(table[name]), name=f"{name} resampling", mode="markers", marker=marker
        )
    shares = f"{table['with'].mean():.0%} of the features with resampling, {table['without'].mean():.0%} without"
    title = f"{shares}: {100 * mean:.0f} points more (95% interval {100 * low:.0f} to {100 * high:.0f})"
    styled(figure, title)
    figure.update_xaxes(title="seed", dtick=1)
    figure.update_yaxes(title="share of features recovered", range=[0, 1.05])
    return Figure(figure, f"Two points for each of {len(table)} seeds, with and without resampling. {title}.", table)


def trade_off(table: pd.DataFrame, model: str) -> Figure:
    """Columns sae, l0, explained_variance, dead_fraction: one SAE a row."""
    figure = go.Figure()
    for i, row in enumerate(table.itertuples()):
        figure.add_scatter(
            x=[round(row.l0, 2)], y=[round(row.explained_variance, 4)], name=row.sae, mode="markers",
            marker={"symbol": MARKERS[i % 8], "size": 13, "color": COLOURS[i % 8]},
        )  # fmt: skip
    best = table.loc[table.explained_variance.idxmax()]
    title = (
        f"{model}: {best.sae} explains {best.explained_variance:.1%} of the variance with {best.l0:.0f} active latents"
    )
    styled(figure, title)
    figure.update_xaxes(title="active latents in a token (L0)")
    figure.update_yaxes(title="explained variance, held-out tokens")
    return Figure(figure, f"One point for each SAE, explained variance against active latents. {title}.", table)


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]


def _square(figure: go.Figure, reach: float = 1.4) -> None:
    figure.update_xaxes(range=[-reach, reach], title="h[0]", constrain="domain")
    figure.update_yaxes(range=[-reach, reach], title="h[1]")
    for i in range(1, 1 + len([k for k in figure.layout if k.startswith("yaxis")])):
        name = "" if i == 1 else str(i)
        figure.layout[f"yaxis{name}"].update(scaleanchor=f"x{name}", title="h[1]" if i == 1 else "")


def _legend_above(figure: go.Figure, top: int = 100) -> None:
    """A horizontal legend between the title and the plots."""
    height = figure.layout.height - top - figure.layout.margin.b
    legend = {"orientation": "h", "y": 1 + (top - 42) / height, "yanchor": "top", "x": 0}
    figure.update_layout(legend=legend, margin={"t": top}, title={"y": 1 - 22 / figure.layout.height, "yanchor": "top"})
