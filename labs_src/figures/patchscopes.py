"""Lab 08's figures, first part: the search, where it gets stuck, how far it goes, and how natural its vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor
from torch.nn.functional import gelu

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def traces(paths: Mapping[str, Any], natural_max: float) -> Figure:
    """The target along each search (``search.Found`` of one row), in natural maxima."""
    rows, figure = [], go.Figure()
    for i, (name, found) in enumerate(paths.items()):
        value = (found.trace[:, 0] / natural_max).tolist()
        rows += [{"search": name, "step": step, "ratio": v} for step, v in enumerate(value)]
        figure.add_scatter(
            x=list(range(len(value))), y=short(value), name=name, mode="lines", showlegend=len(paths) > 1,
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5},
        )  # fmt: skip
    figure.add_hline(y=1, line={"color": "#777777", "dash": "dot"})
    figure.add_annotation(x=0, y=1, text="natural maximum", showarrow=False, xanchor="left", yanchor="bottom")
    table = pd.DataFrame(rows)
    ends = ", ".join(f"{part.ratio.iloc[-1]:.2f} {name}" for name, part in table.groupby("search", sort=False))
    title = f"After {table.step.max()} steps: {ends} (natural maximum: 1)"
    styled(figure, title)
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="target (natural maxima)")
    return Figure(figure, f"A line for each search against its steps, with the natural maximum marked. {title}.", table)


def landscape(paths: Mapping[str, Any]) -> Figure:
    """The way of each search (``search.Found`` of one row) in the plane of gate and up, over the levels of post."""
    ways = {name: found.inside[:, 0].double().numpy() for name, found in paths.items()}
    gates, ups = np.concatenate(list(ways.values())).T
    g = np.linspace(min(-3.0, gates.min()) - 1, max(3.0, gates.max()) * 1.1, 90)
    u = np.linspace(min(-3.0, ups.min()) * 1.15, max(3.0, ups.max()) * 1.4, 90)
    height = gelu(torch.tensor(g), approximate="tanh").numpy()[None, :] * u[:, None]
    shown = np.sign(height) * np.log10(1 + np.abs(height))  # from 0.1 to thousands in one picture
    figure = go.Figure(
        go.Contour(
            x=short(g), y=short(u), z=np.round(shown, 5).tolist(), colorscale="RdBu", zmid=0, line={"width": 0.3},
            contours={"start": -3.05, "end": 3.05, "size": 0.1},  # no level at 0, where the plane is nearly flat
            colorbar={"title": "post", "tickvals": [-3, -2, -1, 0, 1, 2, 3],
                      "ticktext": ["-1000", "-100", "-10", "0", "10", "100", "1000"]},
        )
    )  # fmt: skip
    rows = []
    for i, (name, way) in enumerate(ways.items()):
        rows += [{"search": name, "step": step, "gate": a, "up": b} for step, (a, b) in enumerate(way.tolist())]
        figure.add_scatter(
            x=short(way[:, 0]), y=short(way[:, 1]), mode="lines", showlegend=False,
            line={"color": COLOURS[6], "dash": DASHES[i], "width": 2.5},
        )  # fmt: skip
        end, value = way[-1], float(paths[name].value[0])
        figure.add_scatter(
            x=[float(end[0])], y=[float(end[1])], mode="markers+text", text=[f"{name}: {value:.1f}"], showlegend=False,
            textposition="middle right" if end[0] < g.mean() else "top left", textfont={"size": 13},
            marker={"color": COLOURS[6], "symbol": MARKERS[i], "size": 13, "line": {"color": "white", "width": 2}},
        )  # fmt: skip
    starts = np.unique(np.stack([way[0] for way in ways.values()]).round(4), axis=0)
    figure.add_scatter(
        x=starts[:, 0].tolist(), y=starts[:, 1].tolist(), mode="markers+text", text=["start"] * len(starts),
        textposition="middle left", textfont={"size": 13}, showlegend=False,
        marker={"color": "white", "symbol": "circle", "size": 10, "line": {"color": COLOURS[6], "width": 2.5}},
    )  # fmt: skip
    said = "; ".join(f"{name}, ends at gate {way[-1, 0]:.2f}, up {way[-1, 1]:.1f}" for name, way in ways.items())
    title = said[0].upper() + said[1:]
    styled(figure, title, height=430)
    figure.update_xaxes(title="gate")
    figure.update_yaxes(title="up")
    text = "Paths over the levels of gelu(gate) times up: high at the upper right, slightly above 0 at the lower left."
    return Figure(figure, f"{text} {title}.", pd.DataFrame(rows))


def reached(groups: Mapping[str, Tensor]) -> Figure:
    """A column of points for each group: value over natural maximum, log scale."""
    table = pd.DataFrame([{"group": n, "ratio": v} for n, values in groups.items() for v in values.tolist()])
    table["ratio"] = table.ratio.clip(lower=0.01)
    figure = columns(table, "group", "ratio")
    medians = table.groupby("group", sort=False).ratio.median()
    title = "Median over natural maximum: " + ", ".join(f"{v:.2f} {k}" for k, v in medians.items())
    styled(figure, title)
    figure.add_hline(y=1, line={"color": "#777777", "dash": "dot"})
    figure.update_xaxes(tickvals=list(range(len(medians))), ticktext=list(medians.index))
    figure.update_yaxes(title="target (natural maxima, log scale)", type="log", dtick=1)
    return Figure(
        figure,
        f"Columns of points, one for each neuron (below 0.01 drawn at 0.01), a line at the median. {title}.",
        table,
    )


def naturalness(table: pd.DataFrame) -> Figure:
    """Columns vectors, cosine, distance: both rulers side by side, a column of points for each kind of vector."""
    kinds = list(dict.fromkeys(table.vectors))
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    for column, value in enumerate(("cosine", "distance"), 1):
        for i, kind in enumerate(kinds):
            part = table[table.vectors == kind][value]
            figure.add_trace(_points(i, part, kind), 1, column)
            middle = float(part.median())
            line = {"type": "line", "x0": i - 0.35, "x1": i + 0.35, "y0": middle, "y1": middle, "line": {"width": 2}}
            figure.add_shape(line, row=1, col=column)
    medians = table.groupby("vectors", sort=False)[["cosine", "distance"]].median()
    said = [f"{name} {', '.join(f'{v:.2f}' for v in medians[name])}" for name in ("cosine", "distance")]
    title = f"Medians, left to right: {said[0]}; {said[1]}"
    styled(figure, title, height=400)
    figure.update_xaxes(tickvals=list(range(len(kinds))), ticktext=[k.replace(", ", "<br>") for k in kinds])
    figure.update_yaxes(title="cosine with the nearest natural state", row=1, col=1)
    figure.update_yaxes(title="Mahalanobis distance (1: typical)", rangemode="tozero", row=1, col=2)
    return Figure(figure, f"Two panels with columns of points for each kind of vector. {title}.", table)


def constraints(table: pd.DataFrame) -> Figure:
    """Columns way, ratio, cosine, distance (medians): what each constraint leaves, by both rulers."""
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.06)
    for column, value in enumerate(("cosine", "distance"), 1):
        for i, row in enumerate(table.to_dict("records")):
            point = go.Scatter(
                x=short([row[value]]), y=short([row["ratio"]]), mode="markers", name=row["way"], showlegend=column == 1,
                marker={"color": COLOURS[i % 7], "symbol": MARKERS[i % 8], "size": (22, 11, 13, 16, 10, 14, 9)[i % 7]},
            )  # fmt: skip
            figure.add_trace(point, 1, column)
    near, far = table.loc[table.cosine.idxmax()], table.loc[table.ratio.idxmax()]
    usual = table.loc[(table.distance - 1).abs().idxmin()]
    title = (
        f"Highest cosine: {near.way} ({near.cosine:.2f}, ratio {near.ratio:.2f});<br>distance nearest to 1: "
        f"{usual.way} ({usual.distance:.2f}); highest ratio: {far.way} ({far.ratio:.1f})"
    )
    styled(figure, title, height=440)
    figure.update_layout(title_font_size=13, legend={"orientation": "h", "y": -0.26}, margin_b=110)
    figure.add_hline(y=1, line={"color": "#777777", "dash": "dot"})
    figure.update_xaxes(title="cosine with the nearest natural state (median)", row=1, col=1)
    figure.update_xaxes(title="Mahalanobis distance (median; 1: typical)", row=1, col=2)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="target (natural maxima, median)", row=1, col=1)
    alt = f"Two panels, a point for each way to search. {title.replace('<br>', ' ')}."
    return Figure(figure, alt, table)


def columns(table: pd.DataFrame, group: str, value: str, middle: str = "median") -> go.Figure:
    """A column of points for each group, in order of appearance, with a line at its ``middle`` (median or mean)."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby(group, sort=False)):
        figure.add_trace(_points(i, part[value], str(name)))
        line = float(part[value].agg(middle))
        figure.add_shape(type="line", x0=i - 0.35, x1=i + 0.35, y0=line, y1=line, line={"width": 2})
    return figure


def _points(i: int, values: pd.Series, name: str) -> go.Scatter:
    spread = np.linspace(-0.26, 0.26, len(values))
    return go.Scatter(
        x=short(i + spread), y=short(values), mode="markers", name=name, showlegend=False,
        marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 8 if len(values) < 100 else 4, "opacity": 0.8},
    )  # fmt: skip


def short(values: Any) -> list[float]:
    """Four significant digits: what a screen can show."""
    return [float(f"{float(v):.4g}") for v in values]
