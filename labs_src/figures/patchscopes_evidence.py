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
    """Columns size (of the dictionary), neurons, steps, agreement: a point for each neuron.

    Agreement is the share of pairs of restarts with the same top latent.
    """
    parts = ["size", "neurons", "steps"]
    table = table.assign(group=["<br>".join(map(str, row)) + " steps" for row in table[parts].itertuples(index=False)])
    figure = columns(table, "group", "agreement", "mean")
    figure.update_traces(marker_size=7)
    for i, trace in enumerate(figure.data):  # colour and shape tell selective from random
        which = int(trace.name.split("<br>")[1] != table.neurons.iloc[0])
        figure.data[i].marker.update(color=COLOURS[which], symbol=MARKERS[which])
    names = list(dict.fromkeys(table.group))
    last = table[table.steps == table.steps.max()].groupby(["size", "neurons"], sort=False).agreement.mean()
    said = [", ".join(f"{v:.2f} {n}" for n, v in last[size].items()) + f" ({size})" for size in last.index.unique(0)]
    title = f"Mean agreement after {table.steps.max()} steps: " + "; ".join(said)
    styled(figure, title, height=400)
    figure.update_layout(title_font_size=13)
    figure.update_xaxes(tickvals=list(range(len(names))), ticktext=names)
    figure.update_yaxes(title="share of pairs of restarts", range=[-0.05, 1.05])
    return Figure(figure, f"Columns of points, one for each neuron, a line at the mean. {title}.", table)


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


def wilson(share: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """95% interval of a share of n (Wilson 1927): it is no point where the share is 0 or 1."""
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return middle - half, middle + half


def thresholds(table: pd.DataFrame, latent: str) -> Figure:
    """Columns meaning, activation (middle of a bin), share (of its tokens at which the target fires), tokens."""
    low, high = wilson(table.share, table.tokens)
    table = table.assign(low=low, high=high)
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("meaning", sort=False)):
        figure.add_scatter(
            x=short(part.activation + 0.12 * i), y=short(part.share), name=str(name), mode="lines+markers+text",
            text=[f"{n}" for n in part.tokens], textposition="top right", textfont={"size": 10},
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}, marker={"symbol": MARKERS[i], "size": 9},
            error_y={"array": short((part.high - part.share).clip(0)), "symmetric": False, "width": 3, "thickness": 1,
                     "arrayminus": short((part.share - part.low).clip(0))},
        )  # fmt: skip
    both = table[table.tokens >= ENOUGH].pivot(index="activation", columns="meaning", values=["share", "tokens"])
    both = both.dropna()
    if both.shape[1] == 4 and len(both):
        gap = both["share"].iloc[:, 0] - both["share"].iloc[:, 1]
        place = gap.abs().idxmax()
        said = [f"{both['share', n][place]:.0%} of {both['tokens', n][place]:.0f} {n}" for n in both["share"]]
        title = f"Latent {latent} near {place:g}: the target fires at {' and '.join(said)}"
        others = len(both) - 1
        title += f"<br>({others or 'no'} other bin{'s' * (others > 1)} with {ENOUGH} tokens of each)"
    else:
        title = f"No bin of latent {latent} has {ENOUGH} tokens of both meanings: nothing to compare"
    styled(figure, title)
    figure.update_xaxes(title=f"activation of latent {latent} (middle of the bin; number of tokens at the point)")
    figure.update_yaxes(title="share of tokens at which the target fires", range=[-0.05, 1.1], tickformat=".0%")
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.99})
    alt = f"A line with 95% intervals for each meaning against the latent's activation. {title.replace('<br>', ' ')}."
    return Figure(figure, alt, table)


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
