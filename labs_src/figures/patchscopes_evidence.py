"""Lab 08's figures, second part: restarts, necessity, and which meaning the target reads."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled
from labs_src.figures.patchscopes import columns, short

ENOUGH = 10
"""A bin is compared from so many tokens on."""


def agreement(table: pd.DataFrame) -> Figure:
    """Columns group, agreement: share of pairs of restarts with the same top latent, a point for each neuron."""
    figure = columns(table, "group", "agreement")
    means = table.groupby("group", sort=False).agreement.mean()
    title = "Mean agreement: " + "; ".join(f"{v:.2f} {k}" for k, v in means.items())
    styled(figure, title, height=400)
    figure.update_xaxes(tickvals=list(range(len(means))), ticktext=[k.replace(", ", "<br>") for k in means.index])
    figure.update_yaxes(title="share of pairs of restarts", range=[-0.05, 1.05])
    return Figure(figure, f"Columns of points, one for each neuron, a line at the median. {title}.", table)


def necessity(table: pd.DataFrame) -> Figure:
    """Columns size (of the dictionary), latent (how it was chosen), lost (share of the target): a row per neuron."""
    sizes, names = list(dict.fromkeys(table["size"])), list(dict.fromkeys(table.latent))
    figure = go.Figure()
    for i, name in enumerate(names):
        part = table[table.latent == name]
        figure.add_box(
            x=part["size"], y=short(part.lost), name=name, boxpoints="all", jitter=0.4, pointpos=0, line={"width": 1.5},
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 6}, fillcolor="rgba(0,0,0,0)",
        )  # fmt: skip
    medians = table.groupby(["size", "latent"]).lost.median()
    said = "; ".join(f"{s}: " + ", ".join(f"{medians[s, n]:.2f}" for n in names) for s in sizes)
    title = f"Median share lost ({', '.join(names)}):<br>{said}"
    styled(figure, title, height=440)
    figure.update_layout(boxmode="group", title_font_size=13)
    figure.update_xaxes(title="dictionary")
    figure.update_yaxes(title="share of the target's activation lost", range=[min(-0.3, table.lost.min()), 1.3])
    alt = f"Boxes with a point for each neuron, in groups by dictionary. {title.replace('<br>', ' ')}."
    return Figure(figure, alt, table)


def thresholds(table: pd.DataFrame, latent: str) -> Figure:
    """Columns meaning, activation (middle of a bin), share (of its tokens at which the target fires), tokens."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("meaning", sort=False)):
        figure.add_scatter(
            x=short(part.activation), y=short(part.share), name=str(name), mode="lines+markers+text",
            text=[f"{n}" for n in part.tokens], textposition="top center", textfont={"size": 10},
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}, marker={"symbol": MARKERS[i], "size": 9},
        )  # fmt: skip
    enough = table[table.tokens >= ENOUGH]
    both = enough.pivot_table(index="activation", columns="meaning", values="share").dropna()
    if both.shape[1] == 2 and len(both):
        gap = float((both.iloc[:, 0] - both.iloc[:, 1]).abs().max())
        title = f"At equal activation of latent {latent} the shares of firing differ by up to {gap:.0%}"
        title += f" (bins with {ENOUGH} tokens of each)"
    else:
        title = f"No bin of latent {latent} has {ENOUGH} tokens of both meanings: nothing to compare"
    styled(figure, title)
    figure.update_xaxes(title=f"activation of latent {latent} (middle of the bin; number of tokens at the point)")
    figure.update_yaxes(title="share of tokens at which the target fires", range=[-0.05, 1.1], tickformat=".0%")
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.99})
    return Figure(figure, f"A line for each meaning against the latent's activation. {title}.", table)


def factorial(four: Mapping[tuple[bool, bool], float]) -> Figure:
    """(letter on, code on) -> target in natural maxima, at variables."""
    names = {(False, False): "neither", (True, False): "letter", (False, True): "code", (True, True): "both"}
    table = pd.DataFrame([{"on": name, "target": four[key]} for key, name in names.items()])
    figure = go.Figure()
    figure.add_bar(
        x=table.on, y=short(table.target), text=[f"{v:.2f}" for v in table.target], textposition="outside",
        marker={"color": [COLOURS[5], COLOURS[0], COLOURS[4], COLOURS[1]], "pattern": {"shape": ["", "/", ".", "x"]}},
    )  # fmt: skip
    sums = four[True, False] + four[False, True] - four[False, False]
    how = "more than" if four[True, True] > sums else "no more than"
    title = f"Both on: {four[True, True]:.2f}, {how} the sum of the parts ({sums:.2f})"
    styled(figure, title)
    figure.update_xaxes(title="latents that are on, at variables in mathematics")
    figure.update_yaxes(
        title="target (natural maxima)", range=[min(0, *four.values()) - 0.05, max(four.values()) * 1.25]
    )
    return Figure(figure, f"Four bars: neither, letter, code, both. {title}.", table)
