"""Lab 07's figures, second part: heads taken away, prediction against effect, writes, programs, tuning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, SEQUENTIAL, Figure, styled


def ablations(table: pd.DataFrame) -> Figure:
    """Columns head, layer, how ("zero" or "mean"), change, low, high: change of accuracy, a row per head and way."""
    figure, names = go.Figure(), list(dict.fromkeys(table["head"]))
    at = {name: i for i, name in enumerate(names)}
    for i, (how, part) in enumerate(table.groupby("how", sort=False)):
        figure.add_scatter(
            x=[at[name] + 0.3 * i - 0.15 for name in part["head"]],
            y=_short(part.change),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": _short(part.high - part.change),
                "arrayminus": _short(part.change - part.low),
                "width": 2,
                "thickness": 1.3,
            },
            mode="markers",
            name=f"{how} ablation",
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 7},
        )
    for edge in np.flatnonzero(np.diff([table.layer[table["head"] == name].iloc[0] for name in names])):
        figure.add_vline(x=edge + 0.5, line={"color": "#cccccc", "width": 1})
    figure.add_hline(y=0, line={"color": "#888888", "dash": "dot"})
    helps, hurts = _clear_in_all(table, table.low > 0), _clear_in_all(table, table.high < 0)
    title = f"Clear in both ablations: {_named(helps, 'no head')} help when taken away, {len(hurts)} hurt"
    title = title.replace("help when", "helps when") if len(helps) == 1 else title
    styled(figure, title, height=420)
    figure.update_xaxes(title="head", tickvals=list(range(len(names))), ticktext=names, tickangle=-60)
    figure.update_yaxes(title="change of accuracy (share of prompts)", tickformat="+.0%")
    _legend_above(figure)
    alt = f"Two points with 95% intervals for each of {len(names)} heads, zero and mean ablation. {title}."
    return Figure(figure, alt, table)


def disagreement(table: pd.DataFrame) -> Figure:
    """Columns head, how, change, low, high: change of log probability (nats). Zero against mean, a point per head."""
    zero, mean = (table[table.how == how].set_index("head") for how in ("zero", "mean"))
    opposed = opposed_heads(table)
    figure = go.Figure()
    for i, (name, heads) in enumerate(
        {
            "same sign, or not clear": [h for h in zero.index if h not in opposed],
            "clear, with opposite signs": opposed,
        }.items()
    ):
        bars = {
            axis: {
                "type": "data",
                "symmetric": False,
                "array": _short((side.high - side.change)[heads]),
                "arrayminus": _short((side.change - side.low)[heads]),
                "width": 0,
                "thickness": 0.8,
            }
            for axis, side in (("error_x", zero), ("error_y", mean))
        }
        far = [h for h in heads if i or max(abs(zero.change[h]), abs(mean.change[h])) > 0.12]
        figure.add_scatter(
            x=_short(zero.change[heads]), y=_short(mean.change[heads]), mode="markers+text", name=name, **bars,
            text=[h if h in far else "" for h in heads], textposition="top left", hovertext=heads,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 8 + 3 * i},
        )  # fmt: skip
    for line in ("add_hline", "add_vline"):
        getattr(figure, line)(**{"y" if line == "add_hline" else "x": 0}, line={"color": "#888888", "dash": "dot"})
    verb = "helps in one ablation and hurts in the other" if len(opposed) == 1 else "have opposite signs, both clear"
    title = f"{_named(opposed, 'No head')} {verb}"
    styled(figure, title, height=440)
    figure.update_xaxes(title="change of the answer's log probability, zero ablation (nats)")
    figure.update_yaxes(title="the same, mean ablation (nats)")
    _legend_above(figure)
    return Figure(figure, f"A scatter of heads with intervals both ways; opposite quadrants disagree. {title}.", table)


def opposed_heads(table: pd.DataFrame) -> list[str]:
    """Heads whose intervals leave out 0 in both ablations, on opposite sides."""
    up, down = table[table.low > 0], table[table.high < 0]
    return [name for name in dict.fromkeys(table["head"]) if name in set(up["head"]) & set(down["head"])]


def quality_and_effect(table: pd.DataFrame, overall: float, within: float) -> Figure:
    """Columns head, layer, rho, size (|change of log probability|); rank correlations over heads, within layers."""
    figure = go.Figure()
    for i, (layer, part) in enumerate(table.groupby("layer")):
        figure.add_scatter(
            x=_short(part.rho), y=_short(part["size"]), mode="markers", name=f"layer {layer}", text=part["head"],
            marker={"color": COLOURS[i % 7], "symbol": MARKERS[i % 8], "size": 10},
            hovertemplate="%{text}: rho %{x}, %{y} nats<extra></extra>",
        )  # fmt: skip
    title = f"Prediction against size of the effect: rank correlation {overall:+.2f}, within layers {within:+.2f}"
    styled(figure, title, height=400)
    figure.update_xaxes(title="rho, predicted against real attention")
    figure.update_yaxes(
        title="|change of log probability| (nats)", range=[-0.04 * table["size"].max(), 1.08 * table["size"].max()]
    )
    return Figure(figure, f"A scatter of heads, each layer with its own colour and shape. {title}.", table)


def written(table: pd.DataFrame) -> Figure:
    """Columns layer, compared, jaccard, spearman: predicted against actual changes, a line for each comparison."""
    figure = make_subplots(1, 2, subplot_titles=["Jaccard of the top 20", "Spearman"], horizontal_spacing=0.1)
    for i, (name, part) in enumerate(table.groupby("compared", sort=False)):
        for column, measure in enumerate(("jaccard", "spearman"), 1):
            figure.add_scatter(
                x=part.layer.tolist(), y=_short(part[measure]), row=1, col=column, name=str(name),
                mode="lines+markers", showlegend=column == 1,
                line={"color": COLOURS[i], "dash": DASHES[i], "width": 2}, marker={"symbol": MARKERS[i], "size": 8},
            )  # fmt: skip
    means = table.groupby("compared", sort=False).spearman.mean()
    title = "Mean Spearman: " + ", ".join(f"{value:.2f} {name}" for name, value in means.items())
    styled(figure, title, height=420)
    figure.update_layout(
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0}, margin={"t": 90}, title_font_size=13
    )
    figure.update_xaxes(title="layer", dtick=1)
    figure.update_yaxes(title="agreement", range=[-0.05, 1.05], col=1)
    figure.update_yaxes(range=[-0.05, 1.05], col=2)
    return Figure(figure, f"Two panels by layer, a line for each comparison. {title}.", table)


def program_histogram(table: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """What programs there are, and how many were filled in.

    Args:
        table: columns kind, found, filled: programs of each kind, written and filled in.
        shares: columns share (of the candidate writes that count), fallback (fraction of programs filled in).
    """
    figure = make_subplots(
        1, 2, subplot_titles=["at the post's threshold", "as the threshold moves"], horizontal_spacing=0.12
    )
    for i, (column, name) in enumerate((("found", "found"), ("filled", "filled in"))):
        figure.add_bar(
            x=table.kind.tolist(), y=table[column].tolist(), name=name, row=1, col=1,
            marker={"color": COLOURS[i], "pattern": {"shape": ("", "/")[i]}},
        )  # fmt: skip
    figure.add_scatter(
        x=_short(shares.share), y=_short(shares.fallback), mode="lines+markers", showlegend=False, row=1, col=2,
        line={"color": COLOURS[2], "width": 2.5}, marker={"symbol": MARKERS[2], "size": 8},
    )  # fmt: skip
    filled = int(table.filled.sum())
    title = (
        f"{filled} of {int(table.found.sum()) + filled} programs are filled in; "
        f"moving the threshold makes that {shares.fallback.min():.0%} to {shares.fallback.max():.0%}"
    )
    styled(figure, title, height=400)
    figure.update_layout(barmode="stack", margin={"t": 90, "b": 90})
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.25})
    figure.update_xaxes(title="kind", row=1, col=1)
    figure.update_yaxes(title="programs", row=1, col=1)
    figure.update_xaxes(title="share of candidate writes that count", row=1, col=2, tickformat=".0%")
    figure.update_yaxes(title="filled in", row=1, col=2, tickformat=".0%", rangemode="tozero")
    data = pd.concat([table, shares], axis=1)
    return Figure(figure, f"Stacked bars of programs by kind, and the share filled in as a line. {title}.", data)


def tuned(table: pd.DataFrame, helping: list[str]) -> Figure:
    """Columns head, layer, index, change: relative change by tuning, as a map; heads that help when gone are named."""
    grid = table.pivot(index="layer", columns="index", values="change")
    ranks = table.set_index("head").change.rank(ascending=False).astype(int)
    label = {row["head"]: f"{row.change:.3f}" for _, row in table.iterrows()}
    text = table.assign(label=[f"<b>{label[h]}: helps</b>" if h in helping else label[h] for h in table["head"]])
    figure = go.Figure(
        go.Heatmap(
            z=np.round(grid.to_numpy(), 4), x=[f"head {h}" for h in grid.columns], y=grid.index.tolist(),
            text=text.pivot(index="layer", columns="index", values="label").to_numpy(), texttemplate="%{text}",
            colorscale=SEQUENTIAL, colorbar={"title": "change"},
        )
    )  # fmt: skip
    places = ", ".join(f"{h} is number {ranks[h]}" for h in helping) or "no head helps when taken away"
    title = f"By how far tuning moved {len(table)} heads: {places}"
    styled(figure, title, height=400)
    figure.update_yaxes(title="layer", autorange="reversed", dtick=1)
    return Figure(figure, f"A map of layers and heads. {title}.", table)


def _clear_in_all(table: pd.DataFrame, clear: pd.Series) -> list[str]:
    every = clear.groupby(table["head"], sort=False).all()
    return [name for name in every.index if every[name]]


def _named(heads: list[str], none: str) -> str:
    return none if not heads else " and ".join(filter(None, [", ".join(heads[:-1]), heads[-1]]))


def _legend_above(figure: go.Figure) -> None:
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, margin={"t": 90})


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]
