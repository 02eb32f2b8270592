"""Lab 06's figures, second part: what recurs, small tables, noise, and duplicates."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def recurring(rows: pd.DataFrame) -> Figure:
    """Columns layer, explains ("norm gain", ...), correlation: what goes with recurring in many heads' lists."""
    figure = go.Figure()
    means = []
    for i, (name, part) in enumerate(rows.groupby("explains", sort=False)):
        means.append(f"{name} {part.correlation.mean():+.2f}")
        figure.add_scatter(
            x=part.layer.tolist(), y=[round(v, 3) for v in part.correlation], name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    title = f"Recurring goes with {', '.join(means)}"
    styled(figure, title)
    figure.update_xaxes(title="layer", dtick=1)
    figure.update_yaxes(title="rank correlation with the number of heads", range=[-1, 1])
    return Figure(figure, f"A line for each explanation over layers. {title}.", rows)


def spread(rows: pd.DataFrame, correlation: float) -> Figure:
    """Columns head, layer, deviation (of its QK table), entropy (share of the largest possible)."""
    figure = go.Figure()
    for i, (layer, part) in enumerate(rows.groupby("layer")):
        figure.add_scatter(
            x=[round(v, 3) for v in part.deviation], y=[round(v, 3) for v in part.entropy], mode="markers",
            name=f"layer {layer}", text=part["head"], hovertemplate="%{text}<extra></extra>",
            marker={"color": COLOURS[i % len(COLOURS)], "symbol": MARKERS[i % len(MARKERS)], "size": 9},
        )  # fmt: skip
    title = f"Size of QK entries and spread of attention: rank correlation {correlation:+.2f} over {len(rows)} heads"
    styled(figure, title)
    figure.update_xaxes(title="standard deviation of the head's QK table")
    figure.update_yaxes(title="entropy of its attention / log of the keys in reach", rangemode="tozero")
    return Figure(figure, f"A point for each head. {title}.", rows)


def noise(rows: pd.DataFrame) -> Figure:
    """Columns noise, and a share between 0 and 1 in each other column: tables and behaviour as noise grows."""
    figure = go.Figure()
    columns = [c for c in rows if c != "noise"]
    for i, column in enumerate(columns):
        figure.add_scatter(
            x=rows.noise.tolist(), y=[round(v, 3) for v in rows[column]], name=column, mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    tables = [c for c in columns if "table" in c]
    perfect = rows[(rows[tables] == 1).all(axis=1)]
    last = perfect.iloc[-1]
    acting = next(c for c in columns if "act" in c)
    title = f"At noise {last.noise:g} every table is still perfect, and {last[acting]:.0%} of the circuits act"
    styled(figure, title)
    figure.update_xaxes(title="noise on every matrix, over the size of the matrix")
    figure.update_yaxes(title="share", range=[-0.03, 1.05])
    return Figure(figure, f"Lines over noise: flat at 1 for tables, falling for behaviour. {title}.", rows)


def groups(rows: pd.DataFrame) -> Figure:
    """Columns draw, noise in (a group of matrices; the last one is all of them), acting: one point for each draw."""
    figure = go.Figure()
    spans, names = {}, list(dict.fromkeys(rows["noise in"]))
    for i, (draw, part) in enumerate(rows.groupby("draw")):
        figure.add_scatter(
            x=[round(v, 3) for v in part.acting], y=part["noise in"].tolist(), name=f"draw {draw}", mode="markers",
            marker={"color": COLOURS[i % 8], "symbol": MARKERS[i % 8], "size": 10, "opacity": 0.8},
        )  # fmt: skip
    for name, part in rows.groupby("noise in"):
        spans[name] = f"{part.acting.min():.0%} to {part.acting.max():.0%}"
    title = f"Noise in {names[0]} alone leaves {spans[names[0]]} acting, noise in {names[-1]} {spans[names[-1]]}"
    styled(figure, title, height=360)
    figure.update_xaxes(title="share of the circuits that act", range=[-0.03, 1.05])
    figure.update_yaxes(title="noise 1 in", autorange="reversed", categoryorder="array", categoryarray=names)
    alt = "Points for each group of matrices, one for each draw: " + "; ".join(f"{n} {spans[n]}" for n in names) + "."
    return Figure(figure, alt, rows)


def duplicates(rows: pd.DataFrame) -> Figure:
    """Columns head, latents ("as they are", "merged"), precision: a learned dictionary's tables, before and after."""
    figure = go.Figure()
    means = []
    for i, (name, part) in enumerate(rows.groupby("latents", sort=False)):
        means.append(part.precision.mean())
        figure.add_bar(x=part["head"].tolist(), y=[round(v, 3) for v in part.precision], name=str(name), marker={
            "color": COLOURS[i], "pattern": {"shape": ("", "/")[i % 2]}})  # fmt: skip
    title = f"Merging duplicates moves mean precision from {means[0]:.2f} to {means[-1]:.2f}"
    styled(figure, title, height=330)
    figure.update_layout(barmode="group")
    figure.update_xaxes(title="head")
    figure.update_yaxes(title="precision of its QK table", range=[0, 1.05])
    return Figure(figure, f"Pairs of bars for each head. {title}.", rows)
