"""Lab 05's figures, third part: the table of direct effects against the model, ablation, steering, attribution."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled

FLOOR = 1e-6  # smaller changes are rounding


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
    low, high = medians.idxmin(), medians.idxmax()
    title = f"Table against model, median correlation: from {medians[low]:.2f} ({low}) to {medians[high]:.2f} ({high})"
    styled(figure, title)
    figure.update_xaxes(tickvals=list(range(len(medians))), ticktext=list(medians.index))
    figure.update_yaxes(title="correlation over the vocabulary", range=[min(0, table.correlation.min()) - 0.03, 1.05])
    return Figure(figure, f"Columns of points, one point for each latent, a line at the median. {title}.", table)


def ablation(table: pd.DataFrame) -> Figure:
    """Columns label, ablated, control: change of the prediction where the latent fires (KL, nats); a row per latent."""
    figure = go.Figure(
        go.Scatter(
            x=_tiny(table.control), y=_tiny(table.ablated), mode="markers", text=[_plain(v) for v in table.label],
            marker={"color": COLOURS[0], "size": 7, "opacity": 0.7}, showlegend=False,
            hovertemplate="%{text}: %{y} taken out, %{x} pushed<extra></extra>",
        )
    )  # fmt: skip
    both = table[["ablated", "control"]].clip(lower=FLOOR)
    ends = [float(both.min().min()), float(both.max().max())]
    line = {"color": "#888888", "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=line, name="equal", hoverinfo="skip")
    more = int((table.ablated > table.control).sum())
    title = f"Taking the latent out changes more than a matched push for {more} of {len(table)} latents"
    styled(figure, title, height=430)
    log = {"type": "log", "dtick": 1, "exponentformat": "power"}
    figure.update_xaxes(title="matched push: change of the prediction (KL, nats, log scale)", **log)
    figure.update_yaxes(title="latent taken out (KL, nats, log scale)", **log)
    return Figure(figure, f"A point for each latent and a dotted line where both are equal. {title}.", table)


def steering(table: pd.DataFrame) -> Figure:
    """Columns push, strength (times the latent's maximum), latent, share: a thin line per latent, a thick median."""
    figure = go.Figure()
    middle = table.groupby(["push", "strength"], sort=False).share.median()
    for i, (name, part) in enumerate(table.groupby("push", sort=False)):
        for _, one in part.groupby("latent"):
            figure.add_scatter(
                x=_short(one.strength), y=_short(one.share), mode="lines", text=one.latent, showlegend=False,
                line={"color": COLOURS[i], "dash": DASHES[i], "width": 1}, opacity=0.35,
                hovertemplate="latent %{text}: %{y}<extra></extra>",
            )  # fmt: skip
        median = middle[name].sort_index()
        figure.add_scatter(
            x=_short(median.index), y=_short(median), name=f"{name}, median", mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 3.5}, marker={"symbol": MARKERS[i], "size": 10},
        )  # fmt: skip
    most = table.strength.max()
    ends = ", ".join(f"{middle[name, most]:.0%} with the {name}" for name in table.push.unique())
    title = f"Natural successors, median of {table.latent.nunique()} latents: {ends} at strength {most:g}"
    styled(figure, title, height=430)
    figure.update_xaxes(title="strength (times the largest activation seen)")
    figure.update_yaxes(title="probability of natural successors", rangemode="tozero")
    return Figure(figure, f"A thin line for each latent, two thick ones for the medians. {title}.", table)


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


def _plain(text: str) -> str:
    """A word such as <row> as it stands, not as markup."""
    return html.escape(text, quote=False)


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]


def _tiny(values) -> list[float]:
    """For a log axis: three digits, and nothing below FLOOR."""
    return [float(f"{max(float(v), FLOOR):.3g}") for v in np.asarray(values)]
