"""Lab 09's figures, first part: agreement beside what chance gives, and what the agreement is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def against_chance(table: pd.DataFrame, what: str) -> Figure:
    """Means with intervals, one a line, and for each what chance gives. The title takes the higher of the two nulls.

    Args:
        table: columns name, mean, low, high, chance (the same rows untrained); perhaps space (random rows that fill the
            same space), NaN where it was not measured.
        what: the axis, with its unit.
    """
    figure = go.Figure()
    y = list(range(len(table)))
    figure.add_scatter(
        x=_short(table["mean"]), y=y, mode="markers", name="mean over pairs, 95% interval over seeds",
        marker={"color": COLOURS[0], "size": 9},
        error_x={"type": "data", "symmetric": False, "array": _short(table.high - table["mean"]),
                 "arrayminus": _short(table["mean"] - table.low), "color": COLOURS[0]},
    )  # fmt: skip
    nulls = {"untrained": table.chance}
    if "space" in table and table.space.notna().any():
        nulls["random, same space"] = table.space
    for i, (name, values) in enumerate(nulls.items()):
        symbol, size = (("line-ns", 18), ("x-thin", 10))[i]
        figure.add_scatter(
            x=_short(values), y=y, mode="markers", name=name,
            marker={"symbol": symbol, "size": size, "line": {"width": 3, "color": COLOURS[1 + i]}},
        )  # fmt: skip
    highest = pd.concat(nulls, axis=1).max(axis=1)
    said = [
        f"{r.name} {m:.3f} over {c:.3f}" for r, m, c in zip(table.itertuples(), table["mean"], highest, strict=True)
    ]
    title = "Agreement over chance: " + ", ".join(said)
    if len(said) > 2:  # a title has room for two
        gap = table["mean"] - highest
        title = f"Least over chance: {said[int(gap.argmin())]}; most: {said[int(gap.argmax())]}"
    styled(figure, title, height=170 + 45 * len(table))
    figure.update_yaxes(tickvals=y, ticktext=table.name.tolist(), autorange="reversed", title="")
    figure.update_xaxes(title=what, rangemode="tozero")
    figure.update_layout(
        margin={"t": 90}, legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}
    )
    text = f"A dot with an interval for each set of dictionaries, strokes and crosses at what chance gives. {title}."
    return Figure(figure, text, table)


def pair_values(values: dict[str, Tensor], chance: float, what: str) -> Figure:
    """Each pair of seeds as a dot, a row for each name, and a line at chance.

    Args:
        values: name to (pairs,).
    """
    rows = [{"what": name, "pair": i, "value": float(v)} for name, part in values.items() for i, v in enumerate(part)]
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("what", sort=False)):
        figure.add_scatter(
            x=_short(part.value), y=[name] * len(part), mode="markers", name=str(name), showlegend=False,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 10, "opacity": 0.6},
        )  # fmt: skip
    figure.add_vline(x=chance, line={"dash": "dash", "color": "#333333"})
    figure.add_annotation(x=chance, y=1.0, yref="paper", text="random directions", showarrow=False, yanchor="bottom")
    means = data.groupby("what", sort=False).value.mean()
    said = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    title = f"Mean over {len(next(iter(values.values())))} pairs: {said}; random directions {chance:.3f}"
    styled(figure, title, height=170 + 50 * len(values))
    figure.update_xaxes(title=what, range=[0, 1.15 * max(float(data.value.max()), chance)])
    return Figure(figure, f"Dots for pairs of seeds beside a line at chance. {title}.", data)


def lengths(norms: Tensor, alive: Tensor, mean: float, limit: float, name: str) -> Figure:
    """Lengths of decoder rows (latent,), those that fire and those that never do, with the report's mean and limit."""
    norms, alive = norms.flatten(), alive.flatten()
    edges = np.linspace(0, float(norms.max()) * 1.05, 60)
    figure, rows = go.Figure(), []
    for i, (kind, part) in enumerate((("never fires", norms[~alive]), ("fires", norms[alive]))):
        count, _ = np.histogram(part.numpy(), bins=edges)
        middle = (edges[1:] + edges[:-1]) / 2
        figure.add_bar(
            x=_short(middle), y=count.tolist(), name=kind, width=float(edges[1]),
            marker={"color": COLOURS[i], "pattern": {"shape": ("", "/")[i]}},
        )  # fmt: skip
        rows += [{"latents": kind, "length": m, "count": int(c)} for m, c in zip(middle, count, strict=True) if c]
    for x, text in ((limit, "limit of the report"), (mean, "mean in the report")):
        figure.add_vline(x=x, line={"dash": "dash", "color": "#333333"})
        figure.add_annotation(x=x, y=1, yref="paper", text=text, showarrow=False, yanchor="bottom", xanchor="left")
    short, silent = int((norms < limit).sum()), int((~alive).sum())
    title = f"{name}: {short} rows are shorter than {limit:g}; {silent} of {len(norms)} latents never fire"
    styled(figure, title, height=340)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="length of a latent's decoder row", rangemode="tozero")
    figure.update_yaxes(title="latents (log scale)", type="log", dtick=1)
    return Figure(figure, f"Two stacked histograms of lengths. {title}.", pd.DataFrame(rows))


def sparsity(table: pd.DataFrame) -> Figure:
    """Columns test, silent (share of zeros in the codes), value (activation PWMCC): a line for each test."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("test", sort=False)):
        figure.add_scatter(
            x=_short(part.silent), y=_short(part.value), name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    change = {name: part.value.iloc[-1] - part.value.iloc[0] for name, part in table.groupby("test", sort=False)}
    title = "From least to most zeros: " + "; ".join(f"{name} {value:+.3f}" for name, value in change.items())
    styled(figure, title, height=360)
    figure.update_xaxes(title="share of zeros in the codes")
    figure.update_yaxes(title="activation PWMCC", range=[0, 1.05])
    return Figure(figure, f"A line for each test. {title}.", table)


def answers(table: pd.DataFrame) -> Figure:
    """Columns step, accuracy: a model's accuracy on unseen pairs along its training."""
    figure = go.Figure(
        go.Scatter(x=table.step.tolist(), y=_short(table.accuracy), mode="lines+markers", line={"color": COLOURS[0]})
    )
    reached = table[table.accuracy > 0.99].step
    title = (
        f"Unseen pairs: above 99% after {int(reached.iloc[0])} steps"
        if len(reached)
        else "Unseen pairs: never above 99%"
    )
    styled(figure, title, height=300)
    figure.update_xaxes(title="training step")
    figure.update_yaxes(title="accuracy, unseen pairs", range=[0, 1.05])
    return Figure(figure, f"A rising line. {title}.", table)


def _short(values) -> list[float]:
    return [round(float(v), 5) for v in np.asarray(values)]
