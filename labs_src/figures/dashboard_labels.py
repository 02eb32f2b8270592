"""Lab 05's figures, second part: labels scored, and a label that fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def optimism(table: pd.DataFrame) -> Figure:
    """Columns latent, label, firings, f1_selection, f1_held_out: what the choice flattered."""
    figure = go.Figure()
    rare = table.firings < table.firings.median()
    for i, (name, part) in enumerate([("fires often", table[~rare]), ("fires rarely", table[rare])]):
        figure.add_scatter(
            x=_short(part.f1_selection), y=_short(part.f1_held_out), mode="markers", name=name, text=part.label,
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 5, "opacity": 0.6},
            hovertemplate="%{text}: %{x} → %{y}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="equal", line={"color": "#888888", "dash": "dot"})
    loss = (table.f1_selection - table.f1_held_out).groupby(rare).mean()
    often, seldom = (f"{loss.get(rarely, 0):.3f}" for rarely in (False, True))
    title = f"Held out, F1 falls by {often} for latents that fire often, {seldom} for rare ones"
    styled(figure, title, height=430)
    figure.update_xaxes(title="F1 on the half that chose the label", range=[-0.03, 1.03])
    figure.update_yaxes(title="F1 of the same label on the other half", range=[-0.03, 1.03])
    return Figure(figure, f"One point for each of {len(table)} latents, near the diagonal. {title}.", table)


def labelled(f1: dict[str, Tensor], floor: float) -> Figure:
    """Share of live latents whose label exceeds an F1, against that F1; a line for each dictionary."""
    asked = np.linspace(0, 1, 41)
    rows = [(name, a, float((v > a).float().mean())) for name, v in f1.items() for a in asked]
    data = pd.DataFrame(rows, columns=["dictionary", "f1 asked", "share"])
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("dictionary", sort=False)):
        figure.add_scatter(
            x=_short(part["f1 asked"]), y=_short(part.share), name=str(name), mode="lines",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5},
        )  # fmt: skip
    figure.add_vline(x=floor, line={"color": "#888888", "width": 1})
    shares = ", ".join(f"{name} {float((v > floor).float().mean()):.0%}" for name, v in f1.items())
    title = f"Labelled at F1 > {floor}: {shares}"
    styled(figure, title)
    figure.update_xaxes(title="F1 that a label must exceed")
    figure.update_yaxes(title="share of live latents that have one", range=[-0.03, 1.03])
    return Figure(figure, f"Falling lines, one for each dictionary. {title}.", data)


def refuted(table: pd.DataFrame, floor: float) -> Figure:
    """Columns latent, label, f1_there (where it was chosen), f1_here, fails: the audit of a label table."""
    figure = go.Figure()
    for i, (name, part) in enumerate([("stands", table[~table.fails]), ("fails", table[table.fails])]):
        figure.add_scatter(
            x=_short(part.f1_there), y=_short(part.f1_here), mode="markers", name=name, text=part.label,
            marker={"color": COLOURS[i], "symbol": MARKERS[i + 3 * i], "size": 7},
            hovertemplate="%{text}: %{x} → %{y}<extra></extra>",
        )  # fmt: skip
    corner = f"M {floor} 0 L 1 0 L 1 0.5 L {floor} {floor / 2} Z"
    figure.add_shape(type="path", path=corner, line={"color": COLOURS[1], "dash": "dot"})
    good = int((table.f1_there > floor).sum())
    fail = int(table.fails.sum())
    title = f"{fail} of {good} labels that look good on one domain lose more than half of their F1 on all text"
    styled(figure, title, height=430)
    figure.update_xaxes(title="F1 on the text where the label was chosen", range=[-0.03, 1.03])
    figure.update_yaxes(title="F1 of the same label on all text", range=[-0.03, 1.03])
    alt = f"One point for each of {len(table)} labels; those that fail are crosses at the lower right. {title}."
    return Figure(figure, alt, table)


def breakdown(shares: dict[str, Tensor], values: tuple[str, ...], name: str, least: float = 0.03) -> Figure:
    """Where the firings of one latent come from, a group of bars for each text: name -> share at each value."""
    shown = [i for i in range(len(values)) if max(float(s[i]) for s in shares.values()) >= least]
    shown.sort(key=lambda i: -max(float(s[i]) for s in shares.values()))
    rows = [(text, values[i] or "none", float(s[i])) for text, s in shares.items() for i in shown]
    data = pd.DataFrame(rows, columns=["text", "value", "share"])
    figure = go.Figure()
    for i, (text, part) in enumerate(data.groupby("text", sort=False)):
        marker = {"color": COLOURS[i], "pattern": {"shape": ["", "/"][i % 2]}}
        figure.add_bar(x=part.value, y=_short(part.share), name=str(text), marker=marker)
    tops = "; ".join(f"{text}: {values[int(s.argmax())]} {float(s.max()):.0%}" for text, s in shares.items())
    title = f"Firings of latent {name}, {tops}"
    styled(figure, title, height=360)
    figure.update_xaxes(title="role of the token")
    figure.update_yaxes(title="share of the firings", rangemode="tozero")
    return Figure(figure, f"Bars for each role, two texts side by side. {title}.", data)


def _short(values) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values)]
