"""Lab 05's figures, third part: the table of direct effects against the model, ablation, steering, attribution."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def agreement(table: pd.DataFrame) -> Figure:
    """Columns case, latent, correlation: direct effects against what the model does, a column of points per case."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("case", sort=False)):
        spread = np.linspace(-0.22, 0.22, len(part))
        figure.add_scatter(
            x=_short(i + spread), y=_short(part.correlation), mode="markers", name=str(name), text=part.latent,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 8}, showlegend=False,
            hovertemplate="latent %{text}: %{y}<extra></extra>",
        )  # fmt: skip
        middle = float(part.correlation.median())
        figure.add_shape(type="line", x0=i - 0.3, x1=i + 0.3, y0=middle, y1=middle, line={"width": 2})
    medians = table.groupby("case", sort=False).correlation.median()
    title = "Table against model, median correlation: " + ", ".join(f"{v:.2f} {k}" for k, v in medians.items())
    styled(figure, title)
    figure.update_xaxes(tickvals=list(range(len(medians))), ticktext=list(medians.index))
    figure.update_yaxes(title="correlation over the vocabulary", range=[min(0, table.correlation.min()) - 0.03, 1.05])
    return Figure(figure, f"Columns of points, one point for each latent, a line at the median. {title}.", table)


def ablation(table: pd.DataFrame) -> Figure:
    """Columns label, ablated, control: change of the prediction where the latent fires (KL, nats); a row per latent."""
    table = table.sort_values("ablated").reset_index(drop=True)
    figure = go.Figure()
    names = (("ablated", "the latent taken out"), ("control", "matched push"))
    for i, (column, name) in enumerate(names):
        figure.add_scatter(
            x=_short(table[column]), y=table.index.tolist(), mode="markers", name=name,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 10},
        )  # fmt: skip
    more = int((table.ablated > table.control).sum())
    title = f"Taking the latent out changes more than a matched push for {more} of {len(table)} latents"
    styled(figure, title, height=120 + 24 * len(table))
    figure.update_xaxes(title="change of the next-token prediction (KL, nats, log scale)", type="log", dtick=1)
    figure.update_yaxes(tickvals=table.index.tolist(), ticktext=[_plain(label) for label in table.label])
    _legend_above(figure)
    return Figure(figure, f"Two points for each latent: taken out, and a push of equal length. {title}.", table)


def steering(table: pd.DataFrame) -> Figure:
    """Columns push (what was added), strength (times the latent's maximum), share (mean over latents and texts)."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("push", sort=False)):
        figure.add_scatter(
            x=_short(part.strength), y=_short(part.share), name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}, marker={"symbol": MARKERS[i], "size": 9},
        )  # fmt: skip
    last = table[table.strength == table.strength.max()].set_index("push").share
    start = float(table[table.strength == 0].share.iloc[0])
    ends = ", ".join(f"{value:.0%} with the {name}" for name, value in last.items())
    most = f"at strength {table.strength.max():g}, {ends}"
    title = f"Probability of what naturally follows the latent: {start:.0%} unsteered; {most}"
    styled(figure, title)
    figure.update_xaxes(title="strength (times the largest activation seen)")
    figure.update_yaxes(title="probability of natural successors", rangemode="tozero")
    return Figure(figure, f"Two lines against strength. {title}.", table)


def attribution(table: pd.DataFrame) -> Figure:
    """Columns layer (its name), attribution, ablation: one row for each active latent at a token of a prompt."""
    layers = list(dict.fromkeys(table.layer))
    figure = make_subplots(1, len(layers), subplot_titles=layers, horizontal_spacing=0.08)
    told = []
    for i, layer in enumerate(layers):
        part = table[table.layer == layer]
        reach = float(part[["attribution", "ablation"]].abs().max().max()) * 1.05
        figure.add_scatter(
            x=_short(part.attribution), y=_short(part.ablation), mode="markers", row=1, col=i + 1, showlegend=False,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 5, "opacity": 0.6},
        )  # fmt: skip
        line = {"color": "#888888", "dash": "dot"}
        figure.add_scatter(
            x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, row=1, col=i + 1, showlegend=False
        )
        told.append(f"{part.attribution.corr(part.ablation):.2f} {layer}")
    title = f"Attribution against ablation, correlation: {', '.join(told)}"
    styled(figure, title, height=380)
    figure.update_layout(margin={"t": 90})
    figure.update_xaxes(title="attribution (logits)")
    figure.update_yaxes(title="drop of the logit when ablated", col=1)
    return Figure(figure, f"A scatter for each layer with a dotted line where both are equal. {title}.", table)


def _legend_above(figure: go.Figure) -> None:
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, margin={"t": 90})


def _plain(text: str) -> str:
    """A word such as <row> as it stands, not as markup."""
    return html.escape(text, quote=False)


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]
