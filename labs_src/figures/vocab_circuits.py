"""Circuits between tokens as heatmaps, and where one logit or one score comes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from labs_src.figures.figure import COLOURS, DIVERGING, Figure, styled


def circuit_heatmap(
    circuit: Float[Tensor, "row column"],
    name: str,
    row: str,
    column: str,
    unit: str = "logit",
    tokens: Sequence[str] | None = None,
) -> Figure:
    """A square circuit between tokens; its title compares the diagonal with the rest.

    Args:
        circuit: Rows and columns are the same tokens in the same order.
        name: What the circuit is called.
        row: What a row is.
        column: What a column is.
        unit: Of an entry.
        tokens: Their names; numbers if None.
    """
    n = len(circuit)
    values = circuit.double().numpy()
    ticks = None if tokens is None else list(tokens)
    diagonal = values.diagonal()
    off = values[~np.eye(n, dtype=bool)]
    limit = float(np.abs(values).max())
    figure = go.Figure(
        go.Heatmap(
            z=values.astype(np.float32),
            x=ticks,
            y=ticks,
            colorscale=DIVERGING,
            zmid=0,
            zmin=-limit,
            zmax=limit,
            colorbar={"title": unit, "thickness": 12},
            hovertemplate=f"{row} %{{y}}, {column} %{{x}}: %{{z:.1f}}<extra></extra>",
        )
    )
    title = f"{name}: {diagonal.mean():.1f} on the diagonal, {off.mean() + 0.0:.1f} off it, on average"
    styled(figure, title, height=480, width=680)
    figure.update_yaxes(title=row, autorange="reversed", scaleanchor="x", constrain="domain", showgrid=False)
    figure.update_xaxes(title=column, constrain="domain", showgrid=False)
    rows = [("diagonal", diagonal), ("off the diagonal", off)]
    data = pd.DataFrame(
        [{"entries": k, "mean": v.mean(), "sd": v.std(), "min": v.min(), "max": v.max()} for k, v in rows]
    )
    alt = (
        f"Heatmap of {n} by {n} tokens. Diagonal entries average {diagonal.mean():.2f} {unit}, "
        f"others {off.mean():.2f} with standard deviation {off.std():.2f}."
    )
    return Figure(figure, alt, data)


def terms(
    weights: Float[Tensor, "vocab"], inputs: Float[Tensor, "vocab"], target: int, names: Sequence[str], top: int = 6
) -> Figure:
    """The dot product that makes one logit, its largest terms first.

    Args:
        weights: A row of the OV circuit: one entry for each source token.
        inputs: How much attention each source token gets.
        target: The token whose logit it is.
        names: Of the tokens.
        top: Terms to show; the rest is one bar.
    """
    product = weights * inputs
    order = product.abs().argsort(descending=True)[:top].tolist()
    label = [f"{names[i]}" + (" (the diagonal)" if i == target else "") for i in order] + ["all other tokens"]
    value = [float(product[i]) for i in order] + [float(product.sum() - product[order].sum())]
    attention = [float(inputs[i]) for i in order] + [float(inputs.sum() - inputs[order].sum())]
    entry = [float(weights[i]) for i in order] + [float("nan")]
    data = pd.DataFrame({"source token": label, "OV entry": entry, "attention": attention, "term": value})
    figure = go.Figure(
        go.Bar(
            x=value,
            y=label,
            orientation="h",
            marker={"color": [COLOURS[1] if i == target else COLOURS[0] for i in order] + ["#999999"]},
            text=[f"{round(v, 2) + 0.0:.2f}" for v in value],
            textposition="outside",
            cliponaxis=False,
        )
    )
    total, own = float(product.sum()), float(product[target])
    styled(
        figure, f"One diagonal entry gives {own:.1f} of the {total:.1f} in the logit of “{names[target]}”", height=330
    )
    figure.update_xaxes(title="term of the dot product (logit)")
    figure.update_yaxes(title="source token", title_standoff=12, autorange="reversed")
    alt = (
        f"Bars of the terms that sum to {total:.2f}: "
        + ", ".join(f"{k} {round(v, 2) + 0.0:.2f}" for k, v in zip(label, value, strict=True))
        + "."
    )
    return Figure(figure, alt, data)


def source_grid(split: Float[Tensor, "query_source key_source"], names: Sequence[str]) -> Figure:
    """Which pair of sources an attention score comes from.

    Args:
        split: Contributions to a score; they add up to it.
        names: Of the sources, the same for queries and keys.
    """
    values = split.double().numpy().round(2)
    limit = float(np.abs(values).max())
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=list(names),
            y=list(names),
            colorscale=DIVERGING,
            zmid=0,
            zmin=-limit,
            zmax=limit,
            texttemplate="%{z:.1f}",
            colorbar={"title": "score", "thickness": 12},
        )
    )
    i, j = np.unravel_index(values.argmax(), values.shape)
    total = float(split.sum())
    styled(
        figure,
        f"Largest part: query from {names[i]}, key from {names[j]} ({values[i, j]:.1f} of {total:.1f})",
        height=400,
        width=720,
    )
    figure.update_xaxes(title="key made from", showgrid=False)
    figure.update_yaxes(title="query made from", title_standoff=12, autorange="reversed", showgrid=False)
    data = pd.DataFrame(
        [
            {"query from": a, "key from": b, "score": values[r, c]}
            for r, a in enumerate(names)
            for c, b in enumerate(names)
        ]
    ).sort_values("score", ascending=False)
    alt = (
        f"Heatmap of contributions to the induction head's score, by source of the query and of the key; they sum to "
        f"{total:.1f}. The largest is query from {names[i]} with key from {names[j]}: {values[i, j]:.1f}."
    )
    return Figure(figure, alt, data)
