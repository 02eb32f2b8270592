"""Lab 09's figures, second part: agreement along a sweep, and the space that dictionaries share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def sweep(table: pd.DataFrame, what: str, *, logarithmic: bool = True) -> Figure:
    """Agreement beyond chance along a setting, a line for each series, with intervals over seeds.

    The title names each series' highest value, and its last.

    Args:
        table: columns series, x, gap, low, high.
        what: the horizontal axis, with its unit.
    """
    figure = go.Figure()
    ends = []
    for i, (name, part) in enumerate(table.groupby("series", sort=False)):
        figure.add_scatter(
            x=part.x.tolist(), y=_short(part.gap), name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
            error_y={"type": "data", "symmetric": False, "array": _short(part.high - part.gap),
                     "arrayminus": _short(part.gap - part.low)},
        )  # fmt: skip
        top, last = part.iloc[int(part.gap.argmax())], part.sort_values("x").iloc[-1]
        end = f", {last.gap:+.3f} at {_number(last.x)}" if last.x != top.x else ""
        ends.append(f"{name}: highest {top.gap:+.3f} at {_number(top.x)}{end}")
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    title = "; ".join(ends[:2]) if len(ends) < 3 else "<br>".join(ends)
    lines = title.count("<br>")
    styled(figure, title, height=380 + 22 * lines)
    figure.update_layout(margin={"t": 60 + 24 * lines})
    figure.update_xaxes(title=what, type="log" if logarithmic else "linear")
    if logarithmic:
        ticks = sorted(set(table.x))
        figure.update_xaxes(tickvals=ticks, ticktext=[_number(x) for x in ticks])
    figure.update_yaxes(title="decoder PWMCC beyond chance")
    return Figure(
        figure, f"Agreement beyond chance along a sweep, with intervals. {title.replace('<br>', '; ')}.", table
    )


def overlap(table: pd.DataFrame, d: int) -> Figure:
    """Columns series, r, overlap: shared part of the r leading directions, with the line r/d of chance."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("series", sort=False)):
        figure.add_scatter(
            x=part.r.tolist(), y=_short(part.overlap), name=str(name), mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    r = sorted(set(table.r))
    figure.add_scatter(
        x=r, y=[k / d for k in r], name="chance, r/d", mode="lines", line={"color": "#333333", "width": 1}
    )
    smallest = table[table.r == r[0]]
    said = ", ".join(f"{row.series} {row.overlap:.2f}" for row in smallest.itertuples())
    title = f"Of {r[0]} leading directions, shared: {said}; chance {r[0] / d:.2f}"
    styled(figure, title, height=360)
    figure.update_xaxes(title="r, number of leading directions", type="log", tickvals=r)
    figure.update_yaxes(title="overlap of the two spaces", range=[0, 1.05])
    return Figure(figure, f"A line for each kind of pair, and one for chance. {title}.", table)


def turned(table: pd.DataFrame) -> Figure:
    """Columns series, steps, degrees, gap: how far decoder rows have turned from their start, and what they share."""
    figure = go.Figure()
    for i, (name, part) in enumerate(table.groupby("series", sort=False)):
        figure.add_scatter(
            x=_short(part.degrees), y=_short(part.gap), name=str(name), mode="lines+markers+text",
            text=[str(s) for s in part.steps] if i == 0 else None, textposition="bottom right", cliponaxis=False,
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": "#333333", "width": 1})
    last = table[table.steps == table.steps.max()]
    several = table.series.nunique() > 1
    said = ", ".join(f"{row.gap:+.3f}" + f" ({row.series})" * several for row in last.itertuples())
    turn = f"{last.degrees.iloc[0]:.0f} degrees"
    title = f"Step {int(table.steps.max())}: rows turned by {turn}, agreement {said} beyond chance"
    styled(figure, title, height=360)
    figure.update_xaxes(
        title="mean turn of a decoder row from its start (degrees); labels: training steps", rangemode="tozero"
    )
    figure.update_yaxes(title="decoder PWMCC beyond chance")
    return Figure(figure, f"A curve for each set of latents. {title}.", table)


def _number(x: float) -> str:
    return f"{x:g}" if x < 10 else f"{x:.0f}"


def _short(values) -> list[float]:
    return [round(float(v), 5) for v in np.asarray(values)]
