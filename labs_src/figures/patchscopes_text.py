"""Lab 08's figures, third part: what the model says, what it writes under an intervention, the map, the relabelling."""

from __future__ import annotations

import html

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, SEQUENTIAL, Figure, styled
from labs_src.figures.patchscopes import short


def sweep(table: pd.DataFrame, chance: float) -> Figure:
    """Columns vector, alpha, hits (share of targets whose first token is a natural successor)."""
    figure = _lines(table, "vector", "alpha", "hits")
    figure.add_hline(y=chance, line={"color": "#777777", "dash": "dot"})
    figure.add_annotation(
        x=0, y=chance, text="highest chance", showarrow=False, xanchor="left", yanchor="bottom", yshift=14
    )
    best = table.groupby("vector", sort=False).hits.max()
    title = "Hits at the best alpha: " + "; ".join(f"{v:.0%} {k}" for k, v in best.items())
    styled(figure, title, height=400)
    figure.update_layout(title_font_size=12)
    figure.update_xaxes(title="alpha (0: no contrast; 1.5: as published)")
    figure.update_yaxes(
        title="first token is a natural successor (share of targets)", range=[-0.03, 1.05], tickformat=".0%"
    )
    return Figure(figure, f"A line for each kind of vector against alpha, and the level of chance. {title}.", table)


def pivots(table: pd.DataFrame, free: float, real: float) -> Figure:
    """Columns held, strength (times the natural maximum), code (of the different tokens); ``real``: that of code."""
    figure = _lines(table, "held", "strength", "code")
    figure.add_hline(y=free, line={"color": "#777777", "dash": "dot"})
    figure.add_annotation(x=1, y=free, text="untouched", showarrow=False, xanchor="left", yanchor="bottom", yshift=4)
    figure.add_hline(y=real, line={"color": "#777777", "dash": "dot"})
    figure.add_annotation(x=1, y=real, text="real code", showarrow=False, xanchor="left", yanchor="bottom")
    most = table[table.strength == table.strength.max()].set_index("held").code
    ends = ", ".join(f"{v:.0%} {k}" for k, v in most.items())
    title = f"Code in the different tokens written, at {table.strength.max():g} times the maximum: {ends}"
    title += f" (real code {real:.0%})"
    styled(figure, title, height=400)
    figure.update_layout(title_font_size=12)
    figure.update_xaxes(title="held at (times its natural maximum)", tickvals=sorted(set(table.strength)))
    figure.update_yaxes(title="code in the different tokens written", rangemode="tozero", tickformat=".0%")
    return Figure(figure, f"A line for each thing that is held on. {title}.", table)


def _lines(table: pd.DataFrame, group: str, x: str, y: str) -> go.Figure:
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby(group, sort=False)):
        figure.add_scatter(
            x=part[x].tolist(), y=short(part[y]), name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5}, marker={"symbol": MARKERS[i], "size": 9},
        )  # fmt: skip
    return figure


def atlas(table: pd.DataFrame) -> Figure:
    """Rows of ``chart.searcher``: two heat maps over layers, stuck searches and what the warm start reaches."""
    by = table.groupby(["inject", "layer"])
    maps = {"share stuck, published objective": by.false_optimum.mean(), "median ratio, warm start": by.warm.median()}
    figure = make_subplots(1, 2, subplot_titles=list(maps), horizontal_spacing=0.16)
    for column, values in enumerate(maps.values(), 1):
        grid = values.unstack()
        text = [[("" if pd.isna(v) else f"{v:.2f}") for v in row] for row in grid.to_numpy()]
        figure.add_heatmap(
            z=[[None if pd.isna(v) else round(v, 4) for v in row] for row in grid.to_numpy().tolist()],
            x=[str(c) for c in grid.columns], y=[str(r) for r in grid.index], text=text, texttemplate="%{text}",
            colorscale=SEQUENTIAL, zmin=0, zmax=1 if column == 1 else None, row=1, col=column,
            colorbar={"x": 0.43 if column == 1 else 1.0, "len": 0.9},
        )  # fmt: skip
    stuck, warm = maps["share stuck, published objective"], maps["median ratio, warm start"]
    title = (
        f"Published objective: stuck in {stuck.min():.0%} to {stuck.max():.0%} of a cell's searches; "
        f"warm start reaches {warm.min():.1f} to {warm.max():.1f} natural maxima"
    )
    styled(figure, title, height=380)
    figure.update_xaxes(title="layer of the target", type="category")
    figure.update_yaxes(title="layer that the vector enters", type="category")
    return Figure(figure, f"Two heat maps over the layer that the vector enters and the target's. {title}.", table)


def relabelled(table: pd.DataFrame) -> Figure:
    """Rows of ``relabelling.report``: share of the loss at the colleague's label and at the causal one."""
    table = table.iloc[::-1].reset_index(drop=True)
    figure = go.Figure()
    names = [
        f"{r.latent} → {r.target}: “{html.escape(r.observational)}”"
        + (f" / “{html.escape(r.causal)}”" if r.causal else " (undecided)")
        for r in table.itertuples()
    ]
    decided = table[table.causal != ""]
    groups = (
        (decided.covered_causal, "causal label", COLOURS[0], MARKERS[1]),
        (decided.covered, "colleague's label", COLOURS[1], MARKERS[0]),
        (table[table.causal == ""].covered, "colleague's label, undecided", "#999999", "circle-open"),
    )
    for values, name, colour, symbol in groups:
        figure.add_scatter(
            x=short(values), y=values.index.tolist(), mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 11},
        )  # fmt: skip
    few = f"{int(decided.disagrees.sum())} of {len(decided)} decided labels"
    title = f"{few} cover less than half of what the target loses, and less than another does"
    styled(figure, title, height=150 + 26 * len(table))
    figure.update_layout(title_font_size=12)
    figure.add_vline(x=0.5, line={"color": "#777777", "dash": "dot"})
    figure.update_xaxes(title="share of the target's loss at the label's tokens", range=[-0.03, 1.03], tickformat=".0%")
    figure.update_yaxes(tickvals=table.index.tolist(), ticktext=names)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"})
    return Figure(figure, f"Two points for each pair of latent and target. {title}.", table)
