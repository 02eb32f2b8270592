"""Lab 05's figures, first part: a latent's dashboard (what makes it fire, what it promotes)."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from labs_src.figures.figure import COLOURS, Figure, styled

if TYPE_CHECKING:
    from labs_src.dictionaries.reading import Context

BINS = 40


def histogram(values: Tensor, name: str) -> Figure:
    """Activations of one latent over tokens (n,); silent tokens are told in the title, not drawn."""
    on = values[values > 0].numpy()
    count, edges = np.histogram(on, bins=BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    data = pd.DataFrame({"activation": middle, "tokens": count})
    figure = go.Figure(
        go.Bar(x=_short(middle), y=count.tolist(), width=_short(np.diff(edges)), marker={"color": COLOURS[0]})
    )
    title = f"Latent {name} fires at {len(on) / len(values):.2%} of the tokens, up to {on.max():.1f}"
    styled(figure, title, height=320)
    figure.update_xaxes(title="activation, where it is not 0", rangemode="tozero")
    figure.update_yaxes(title="tokens (log scale)", type="log", dtick=1)
    return Figure(figure, f"A histogram of activations that are not 0. {title}.", data)


def contexts(examples: Iterable[Context], name: str, label: list[str] | None = None) -> Figure:
    """Words around the places of a latent, a row each; the colour is its activation, a frame marks the place.

    Args:
        label: a word or two in front of each row, such as its quantile.
    """
    examples = list(examples)
    before = max(e.at for e in examples)
    after = max(len(e.words) - e.at for e in examples)
    rows = [
        (i, k - e.at, word, z, k == e.at)
        for i, e in enumerate(examples)
        for k, (word, z) in enumerate(zip(e.words, e.activations, strict=True))
    ]
    data = pd.DataFrame(rows, columns=["context", "offset", "word", "activation", "place"])
    grid, text = np.full((len(examples), before + after), np.nan), np.full((len(examples), before + after), "", object)
    for row in data.itertuples():
        grid[row.context, row.offset + before], text[row.context, row.offset + before] = (
            row.activation,
            _plain(row.word),
        )
    offsets = list(range(-before, after))
    heat = go.Heatmap(
        z=np.round(grid, 2).tolist(), x=offsets, y=list(range(len(examples))), text=text.tolist(), zmin=0,
        texttemplate="%{text}", textfont={"size": 11}, colorscale=[[0, "#ffffff"], [1, COLOURS[4]]], xgap=1, ygap=2,
        hovertemplate="%{text}: %{z}<extra></extra>", colorbar={"title": "activation"},
    )  # fmt: skip
    figure = go.Figure(heat)
    figure.add_vrect(x0=-0.5, x1=0.5, line={"color": "#333333", "width": 1})
    at_place = data[data.place].word
    common = at_place.value_counts()
    title = f"Latent {name}: {common.iloc[0]} of {len(examples)} contexts fire at “{_plain(common.index[0])}”"
    if len(common) > 1:
        title += f"; {len(common)} different words in all"
    styled(figure, title, height=110 + 27 * len(examples))
    figure.update_xaxes(title="tokens from the place (framed)", dtick=1, showgrid=False)
    ticks = label or [str(i + 1) for i in range(len(examples))]
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(examples))), ticktext=ticks, showgrid=False)
    return Figure(figure, f"A row of words for each context, coloured by activation. {title}.", data)


def promoted(words: list[str], effects: Tensor, name: str, k: int = 8) -> Figure:
    """The k tokens that a latent's direct effect (vocabulary,) raises most, and the k that it lowers most."""
    order = effects.argsort(descending=True).tolist()
    shown = order[:k] + order[-k:]
    sign = ["promoted"] * k + ["demoted"] * k
    data = pd.DataFrame({"token": [words[i] for i in shown], "effect": effects[shown].tolist(), "sign": sign})
    figure = go.Figure()
    for i, (kind, part) in enumerate(data.groupby("sign", sort=False)):
        figure.add_bar(
            y=part.index.tolist(), x=_short(part.effect), orientation="h", name=str(kind), marker={"color": COLOURS[i]}
        )
    title = f"Latent {name} promotes “{_plain(words[order[0]])}” most and demotes “{_plain(words[order[-1]])}” most"
    styled(figure, title, height=90 + 22 * 2 * k)
    figure.update_xaxes(title="direct effect on the logit, for one unit of the latent")
    figure.update_yaxes(
        autorange="reversed",
        tickvals=data.index.tolist(),
        ticktext=[_plain(w) for w in data.token],
        showgrid=False,
    )
    return Figure(figure, f"Bars for {k} tokens raised and {k} lowered. {title}.", data)


def _plain(text: str) -> str:
    """A word such as <row> as it stands, not as markup."""
    return html.escape(text, quote=False)


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]
