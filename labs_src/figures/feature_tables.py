"""Lab 06's figures, first part: entries by rank, what stands out, a published list, the bias over distance."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def ranked(entries: pd.DataFrame, name: str) -> Figure:
    """Columns rank (from 1), size (absolute value), planted (bool): does the answer key stand on top?"""
    n = int(entries.planted.sum())
    weakest, strongest = entries[entries.planted]["size"].min(), entries[~entries.planted]["size"].max()
    figure = go.Figure()
    for i, (label, part) in enumerate(
        (("planted", entries[entries.planted]), ("not planted", entries[~entries.planted]))
    ):
        figure.add_scatter(
            x=part["rank"].tolist(), y=[round(v, 4) for v in part["size"]], mode="markers", name=label,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 7 - 2 * i},
        )  # fmt: skip
    above = int((entries[~entries.planted]["size"] >= weakest).sum())
    title = (
        f"{name}: {above or 'none'} of the others reach{'' if above != 1 else 'es'} the weakest of {n} planted entries"
    )
    styled(figure, title)
    figure.update_xaxes(title="rank by absolute value", type="log")
    figure.update_yaxes(title="absolute value, before the softcap")
    alt = f"{title}. The weakest planted one has {weakest:.3g}, the strongest other {strongest:.3g}."
    return Figure(figure, alt, entries)


def published(rows: pd.DataFrame, name: str) -> Figure:
    """Columns rank, value, kind (what a pair is): a list as printed, marked."""
    figure = go.Figure()
    for i, (kind, part) in enumerate(rows.groupby("kind", sort=False)):
        figure.add_bar(x=part["rank"].tolist(), y=part.value.tolist(), name=str(kind), marker={
            "color": COLOURS[i], "pattern": {"shape": ("", "/", ".", "x")[i % 4]}})  # fmt: skip
    counts = rows.kind.value_counts()
    title = f"{name}: " + ", ".join(f"{counts[kind]} {kind}" for kind in rows.kind.unique())
    styled(figure, title)
    figure.update_layout(bargap=0.15)
    figure.update_xaxes(title="rank in the published list")
    figure.update_yaxes(title="published QK value")
    return Figure(figure, f"Bars of both signs by rank, coloured by what the pair is. {title}.", rows)


def outstanding(rows: pd.DataFrame, bound: float) -> Figure:
    """How far the strongest entries stand out, beside heads with random weights.

    Args:
        rows: columns head, table, weights ("the model's" or the name of a control), z (largest, of one table).
        bound: in standard deviations; drawn, and beside it the largest of the controls.
    """
    figure = go.Figure()
    names = list(dict.fromkeys(rows.weights))
    order = [f"{table}, {name}" for table in dict.fromkeys(rows.table) for name in names]
    for (weights, table), part in rows.groupby(["weights", "table"], sort=False):
        i = names.index(weights)
        figure.add_scatter(
            x=[round(v, 3) for v in part.z], y=[f"{table}, {weights}"] * len(part), mode="markers", text=part["head"],
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 8, "opacity": 0.6}, showlegend=False,
            hovertemplate="%{text}: %{x:.1f}<extra></extra>",
        )  # fmt: skip
    largest = float(rows[rows.weights != names[0]].z.max())
    for x, dash, text in ((bound, "dot", f"{bound:g}"), (largest, "dash", "largest of the controls")):
        figure.add_vline(x=x, line={"color": "#888888", "dash": dash}, annotation={"text": text, "yshift": 12})
    shares = ", ".join(f"{(part.z > bound).mean():.0%} of {name}" for name, part in rows.groupby("weights", sort=False))
    own = rows[rows.weights == names[0]]
    title = f"Tables above {bound:g}: {shares}. Above all controls: {(own.z > largest).mean():.0%}"
    styled(figure, title, height=360)
    figure.update_layout(margin={"t": 75})
    figure.update_xaxes(title="strongest entry of a head's table, in standard deviations from the mean")
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=order)
    alt = f"Rows of points, one for each table. {title}. The largest of the controls lies at {largest:.1f}."
    return Figure(figure, alt, rows)


def by_distance(rows: pd.DataFrame) -> Figure:
    """Columns head, distance, score (bias against itself), attention (mean over text): a column for each head."""
    heads, agree = list(dict.fromkeys(rows["head"])), []
    figure = make_subplots(rows=2, cols=len(heads), subplot_titles=heads, shared_xaxes=True, vertical_spacing=0.1)
    for column, head in enumerate(heads, 1):
        part = rows[rows["head"] == head]
        agree.append((int(part.distance[part.score.idxmax()]), int(part.distance[part.attention.idxmax()])))
        for i, name in enumerate(("score", "attention")):
            figure.add_scatter(
                x=part.distance.tolist(), y=[float(f"{v:.3g}") for v in part[name]], mode="lines+markers", name=name,
                row=i + 1, col=column, showlegend=False, line={"color": COLOURS[i], "dash": DASHES[i]},
                marker={"symbol": MARKERS[i], "size": 5},
            )  # fmt: skip
            figure.add_vline(x=agree[-1][i], line={"color": "#888888", "dash": "dot"}, row=i + 1, col=column)
    same = sum(a == b for a, b in agree)
    title = f"The bias's score peaks where attention peaks in {same} of these {len(heads)} heads"
    styled(figure, title, height=430)
    figure.update_layout(margin={"t": 85})
    figure.update_xaxes(title="distance back, tokens", row=2)
    figure.update_yaxes(title="score of the bias", row=1, col=1)
    figure.update_yaxes(title="mean attention", row=2, col=1)
    peaks = "; ".join(f"{head}: score at {a}, attention at {b}" for head, (a, b) in zip(heads, agree, strict=True))
    return Figure(figure, f"Two curves over distance for each head, peaks dotted. {title}. Peaks: {peaks}.", rows)
