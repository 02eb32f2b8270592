"""Lab 07's figures: rho by layer, what each bug does to it, parity tests, peaks beside their nulls, bases, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, DASHES, DIVERGING, MARKERS, Figure, styled

GREY = "#888888"


def lines(
    data: pd.DataFrame, y: str, title: str, alt: str, *, y_title: str, bold: Sequence[str] = (), zero: bool = False
) -> Figure:
    """One line per variant against the layer.

    Args:
        data: columns layer, variant and y.
        y: the column drawn.
        title: the finding.
        alt: what is to be seen.
        y_title: of the axis, with its unit.
        bold: variants drawn thicker.
        zero: draw a line at 0.
    """
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("variant", sort=False)):
        look = {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i % len(DASHES)], "width": 4 if name in bold else 2}
        marker = {"symbol": MARKERS[i % len(MARKERS)], "size": 8}
        figure.add_scatter(x=part.layer, y=part[y].round(4), name=name, mode="lines+markers", line=look, marker=marker)
    if zero:
        figure.add_hline(0, line={"color": GREY, "width": 1})
    styled(figure, title, height=400)
    figure.update_xaxes(title="layer", dtick=1 if data.layer.max() < 12 else 2)
    figure.update_yaxes(title=y_title)
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1}, margin={"t": 50 + 20 * title.count("<br>")})
    return Figure(figure, alt, data)


def published(table: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """Published rho by layer.

    Args:
        table: layer and one column for each way.
        columns: the ones drawn, and their names.
    """
    tidy = table.melt("layer", list(columns), var_name="column", value_name="rho").dropna()
    tidy["variant"] = tidy.column.map(columns)
    parts = []
    for name, part in tidy.groupby("variant", sort=False):
        parts.append(f"{name}: {int((part.rho < 0).sum())} of {len(part)} layers below 0, mean {part.rho.mean():.3f}")
    alt = f"Published rank correlation of Gemma-2-2B against the layer. {'; '.join(parts)}."
    return lines(tidy, "rho", "<br>".join(parts), alt, y_title="published rho, mean of 8 heads", zero=True)


def rho(data: pd.DataFrame, title: str = "", bold: Sequence[str] = ()) -> Figure:
    """rho by layer, a line per variant (columns layer, variant, rho).

    Args:
        data: as from ``prediction.by_layer``.
        title: instead of the means of all variants, best first.
        bold: variants drawn thicker.
    """
    mean = data.groupby("variant", sort=False).rho.mean()
    ordered = mean.sort_values(ascending=False)
    said = ", ".join(f"{name} {value:.2f}" for name, value in ordered.items())
    alt = f"Rank correlation of predicted with real attention against the layer. Means over layers: {said}."
    data = data[[c for c in ("layer", "variant", "rho") if c in data]]
    return lines(data, "rho", title or f"Mean rho: {said}", alt, y_title="rho, mean over heads", bold=bold, zero=True)


def before_after(data: pd.DataFrame, before: str, after: str) -> Figure:
    """rho by layer: the two that matter thick, one bug at a time between them."""
    mean = data.groupby("variant", sort=False).rho.mean()
    lowest = data[data.variant == after].rho.min()
    others = mean.drop([before, after])
    title = (
        f"{before.capitalize()}: mean rho {mean[before]:.2f}. {after.capitalize()}: {mean[after]:.2f}, "
        f"lowest layer {lowest:.2f}.<br>One bug alone: {', '.join(f'{n} {v:.2f}' for n, v in others.items())}"
    )
    return rho(data, title, bold=(before, after))


def parity(data: pd.DataFrame) -> Figure:
    """Cosine with the model's own projection, every head, the right fold and the legacy one.

    Args:
        data: columns layer, fold, projection, head, cosine.
    """
    figure = go.Figure()
    for i, (fold, part) in enumerate(data.groupby("fold", sort=False)):
        for j, (which, points) in enumerate(part.groupby("projection", sort=False)):
            figure.add_scatter(
                x=points.layer + (j - 1) * 0.18, y=points.cosine.round(4), mode="markers", name=f"{fold}, {which}",
                marker={"color": COLOURS[i], "symbol": MARKERS[j], "size": 8, "opacity": 0.75},
            )  # fmt: skip
    span = data.groupby("fold", sort=False).cosine.agg(["min", "max"])
    parts = [
        f"{n} at least {row['min']:.4f}" if row["min"] > 0.999 else f"{n} {row['min']:.2f} to {row['max']:.2f}"
        for n, row in span.iterrows()
    ]
    styled(figure, f"Cosine with the model's own projections, folding: {'; '.join(parts)}", height=400)
    figure.update_xaxes(title="layer", dtick=1 if data.layer.max() < 12 else 2)
    figure.update_yaxes(title="cosine, one point per head", range=[min(-0.1, data.cosine.min() - 0.05), 1.05])
    alt = f"Points per layer, one for each query, key and value head. {'; '.join(parts)}."
    return Figure(figure, alt, data)


def rotation_gap(data: pd.DataFrame) -> Figure:
    """Largest error of a logit against the distance, a line per pairing (columns distance, pairing, error)."""
    figure = go.Figure()
    floor = 1e-8
    for i, (pairing, part) in enumerate(data.groupby("pairing", sort=False)):
        figure.add_scatter(
            x=part.distance + 1, y=part.error.clip(lower=floor), name=pairing, mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    ends = [1, int(data.distance.max()) + 1]
    test = {"color": GREY, "dash": "dot"}
    figure.add_scatter(x=ends, y=[1e-3, 1e-3], name="tolerance of the test", mode="lines", line=test)
    worst = data.groupby("pairing", sort=False).error.max()
    said = ", ".join(f"{name} {'below 0.001' if value < 1e-3 else f'{value:.1f}'}" for name, value in worst.items())
    styled(figure, f"Largest error of a logit: {said}")
    figure.update_xaxes(title="distance + 1, tokens (log)", type="log")
    figure.update_yaxes(title="largest error of a logit (log)", type="log", exponentformat="power")
    alt = f"Error against distance on two log axes. The interleaved pairing is far off from distance 1 on. {said}."
    return Figure(figure, alt, data)


def peaks(data: pd.DataFrame, model: str = "model") -> Figure:
    """Selectivity and diagonal mass over uniform by layer: the model, the legacy fold, and nulls of the same spread.

    Args:
        data: columns layer, case, selectivity, diagonal, each over uniform and a mean over heads. A case with several
            rows for a layer (draws of a null) is drawn at its highest.
        model: the right fold. It and the cases that begin with "legacy fold" are not nulls.
    """
    titles = ("selectivity over uniform", "diagonal mass over uniform")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    draws = data.groupby(["case", "layer"]).size().groupby("case").max()
    data = data.groupby(["case", "layer"], sort=False, as_index=False)[["selectivity", "diagonal"]].max()
    for i, (case, part) in enumerate(data.groupby("case", sort=False)):
        look = {"color": COLOURS[i], "dash": DASHES[i % len(DASHES)], "width": 4 if case == model else 2}
        marker = {"symbol": MARKERS[i], "size": 7}
        called = f"{case}, highest of {draws[case]}" if draws[case] > 1 else case
        for column, name in ((1, "selectivity"), (2, "diagonal")):
            figure.add_scatter(
                x=part.layer, y=part[name].round(3), name=called, mode="lines+markers", line=look, marker=marker,
                legendgroup=case, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
    legacy = [case for case in data.case.unique() if case.startswith("legacy fold")]
    nulls = data[~data.case.isin([model, *legacy])]
    ratio = {}
    for name in ("selectivity", "diagonal"):
        over = data[data.case == model].set_index("layer")[name] / nulls.groupby("layer")[name].max()
        ratio[name] = (
            f"{over.min():.2f} to {over.max():.2f} times (above it in {(over > 1).sum()} of {len(over)} layers)"
        )
    by_case = data.set_index(["case", "layer"]).selectivity
    times = {case: by_case[case] / by_case[model] for case in legacy}
    against = [f"{case} {x.min():.2g} to {x.max():.2g}" for case, x in times.items()]
    over = ";<br>".join(f"{name} {said}" for name, said in ratio.items())
    title = f"Over the highest null: {over}.<br>Selectivity, times the right fold's: {'; '.join(against)}"
    styled(figure, title, height=460)
    figure.update_xaxes(title="layer", dtick=1 if data.layer.max() < 12 else 4)
    figure.update_yaxes(title="times uniform (log)", type="log", dtick="D2")
    figure.update_layout(legend={"orientation": "h", "y": -0.22}, margin={"t": 120, "b": 110})
    alt = f"Two panels against the layer on log axes. {title.replace('<br>', ' ')}."
    return Figure(figure, alt, data)


def areas(data: pd.DataFrame) -> Figure:
    """RoPE-stability area by layer (columns layer, variant, area)."""
    mean = data.groupby("variant", sort=False).area.mean()
    said = ", ".join(f"{name} {value:.2f}" for name, value in mean.items())
    alt = f"Area under RoPE stability against the layer; means over layers: {said}."
    return lines(data, "area", f"Mean area: {said}", alt, y_title="area under stability, mean over heads")


def probes(data: pd.DataFrame, own: str = "own dictionary") -> Figure:
    """rho by layer and probe as a table of colours (columns layer, probe, rho)."""
    table = data.pivot(index="probe", columns="layer", values="rho").loc[list(data.probe.unique())]
    gap = table.drop(index=own).max() - table.loc[own]
    figure = go.Figure(
        go.Heatmap(
            z=table.round(3).to_numpy(), x=[str(c) for c in table.columns], y=list(table.index),
            zmid=0, zmin=-1, zmax=1,
            colorscale=DIVERGING, text=table.round(2).to_numpy(), texttemplate="%{text:.2f}", colorbar={"title": "rho"},
        )
    )  # fmt: skip
    worst = int(gap.idxmax())
    others = gap.drop(worst).max()
    title = f"Best other probe minus own dictionary: {gap.max():+.2f} at layer {worst}, at most {others:+.2f} elsewhere"
    styled(figure, title, height=80 + 70 * len(table))
    figure.update_xaxes(title="layer", type="category")
    alt = f"A table of rho, probes by layers. {title}."
    return Figure(figure, alt, data)


def contributions(shares: Mapping[str, float], alone: Mapping[str, float], removed: Mapping[str, float]) -> Figure:
    """What each thing put back brings: on average over orders, when put back alone, and when left out alone.

    Args:
        shares: average over all orders; they sum to the whole gain.
        alone: gain when put back into the errata's method, nothing else.
        removed: loss when left out of the full method, nothing else.
    """
    kinds = {"put back first": alone, "average over orders": shares, "put back last": removed}
    rows = [(what, kind, value) for kind, values in kinds.items() for what, value in values.items()]
    data, figure = pd.DataFrame(rows, columns=["what", "kind", "rho"]), go.Figure()
    for i, (kind, part) in enumerate(data.groupby("kind", sort=False)):
        pattern = {"shape": ("", "/", ".")[i]}
        figure.add_bar(x=part.what, y=part.rho.round(4), name=kind, marker={"color": COLOURS[i], "pattern": pattern})
    best = max(shares, key=shares.get)
    total = sum(shares.values())
    title = f"Of a gain of {total:.2f}, {best} bring {shares[best]:.2f}, the largest share on average over orders"
    styled(figure, title)
    figure.update_yaxes(title="gain in mean rho")
    figure.update_xaxes(title="put back")
    figure.update_layout(barmode="group")
    said = ", ".join(f"{name} {value:.2f}" for name, value in shares.items())
    return Figure(figure, f"Three bars for each thing put back; averages over orders: {said}.", data)


def omissions(data: pd.DataFrame, one: str, other: str) -> Figure:
    """Mean rho of each basis, by what is left out: a group of bars for each way to predict.

    Args:
        data: columns basis, left out, rho; a row for each draw. Bars are means over draws, whiskers their range.
        one, other: the bases that the title compares.
    """
    each = data.groupby(["basis", "left out"], sort=False).rho.agg(["mean", "min", "max"])
    figure, ways = go.Figure(), list(data["left out"].unique())
    for i, basis in enumerate(data.basis.unique()):
        part = each.loc[basis].loc[ways]
        whiskers = {"array": part["max"] - part["mean"], "arrayminus": part["mean"] - part["min"], "symmetric": False}
        figure.add_bar(
            x=ways, y=part["mean"].round(4), name=basis, error_y={"type": "data", "thickness": 1, **whiskers},
            marker={"color": COLOURS[i], "pattern": {"shape": ("", "/", ".", "x")[i % 4]}},
        )  # fmt: skip
    gap = each["mean"].loc[one].loc[ways] - each["mean"].loc[other].loc[ways]
    said = ", ".join(f"{way} {value:+.2f}" for way, value in gap.items())
    title = f"Mean rho, {one} minus {other}, by what is left out:<br>{said}"
    styled(figure, title, height=430)
    figure.update_xaxes(title="left out")
    figure.update_yaxes(title="mean rho over layers")
    figure.update_layout(barmode="group")
    alt = f"Groups of bars, one for each thing left out, a bar for each basis. {title.replace('<br>', ' ')}."
    return Figure(figure, alt, data)


def seeds(data: pd.DataFrame) -> Figure:
    """Mean rho of each variant, a point per model (columns model, variant, layer, rho)."""
    data = data.groupby(["variant", "model"], sort=False, as_index=False).rho.mean()
    figure, order = go.Figure(), list(data.variant.unique())
    for i, (name, part) in enumerate(data.groupby("model", sort=False)):
        marker = {"color": COLOURS[i], "symbol": MARKERS[i], "size": 10}
        figure.add_scatter(x=part.rho.round(4), y=part.variant, mode="markers", name=name, marker=marker)
    wide = data.groupby("variant", sort=False).rho.agg(["min", "max"])
    spread = wide["max"] - wide["min"]
    title = (
        f"{data.model.nunique()} models, {len(order)} ways to predict: means differ between models by "
        f"{spread.median():.2f} (median)<br>and by {spread.max():.2f} at most ({spread.idxmax()})"
    )
    styled(figure, title, height=160 + 26 * len(order))
    figure.update_xaxes(title="mean rho over layers")
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    figure.update_layout(margin={"l": 230, "t": 80})
    said = "; ".join(f"{name} {row['min']:.2f} to {row['max']:.2f}" for name, row in wide.iterrows())
    return Figure(figure, f"A row of points for each way to predict, one point per model: {said}.", data)
