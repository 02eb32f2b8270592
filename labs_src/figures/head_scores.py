"""One number for each head: detector scores, ablations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labs_src.figures.figure import COLOURS, MARKERS, SEQUENTIAL, Figure, styled


def detector_grid(scores: pd.DataFrame) -> Figure:
    """A heatmap with a row for each detector and a column for each head.

    Args:
        scores: From `labs_src.circuits.heads.score_table`: columns name, detector, score.
    """
    wide = scores.pivot(index="detector", columns="name", values="score")
    wide = wide.loc[list(dict.fromkeys(scores["detector"])), list(dict.fromkeys(scores["name"]))]
    figure = go.Figure(
        go.Heatmap(
            z=wide.to_numpy().round(3),
            x=list(wide.columns),
            y=list(wide.index),
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            texttemplate="%{z:.2f}",
            colorbar={"title": "mean attention", "thickness": 12},
        )
    )
    best = scores.loc[scores.groupby("detector", sort=False)["score"].idxmax()]
    found = {
        row.detector: f"{row.name_} ({row.score:.2f})" for row in best.rename(columns={"name": "name_"}).itertuples()
    }
    styled(
        figure, f"Best previous-token head: {found['previous']}; best induction head: {found['induction']}", height=300
    )
    figure.update_xaxes(title="head", showgrid=False)
    figure.update_yaxes(title="attends to", title_standoff=12, autorange="reversed", showgrid=False)
    alt = "Heatmap of detector scores by head. Highest: " + ", ".join(f"{d} {h}" for d, h in found.items()) + "."
    strongest = scores.sort_values("score", ascending=False)
    return Figure(figure, alt, strongest[["name", "detector", "score"]])


def ablated_losses(losses: pd.DataFrame, intact: float) -> Figure:
    """Loss after taking each head away.

    Args:
        losses: Columns head, how ("zero" or "mean"), loss (nats).
        intact: Loss of the whole model, in nats.
    """
    figure = go.Figure()
    for i, (how, part) in enumerate(losses.groupby("how", sort=False)):
        figure.add_bar(
            x=part["head"],
            y=part["loss"],
            name=f"{how} ablation",
            marker={"color": COLOURS[i], "pattern_shape": ["", "/"][i % 2]},
        )
    figure.add_hline(y=intact, line={"color": "black", "dash": "dash"}, annotation_text=f"intact: {intact:.2f}")
    cost = (losses.groupby("head")["loss"].max() - intact).sort_values(ascending=False)
    dear = cost.iloc[: max(1, len(cost) // 2)]
    listed = ", ".join(f"{head} {value:.2f}" for head, value in dear.items())
    rest = f"; the others at most {max(0.0, cost.iloc[len(dear)]):.2f}" if len(cost) > len(dear) else ""
    styled(figure, f"What one head costs, in nats: {listed}{rest}", height=340)
    figure.update_xaxes(title="head taken away")
    figure.update_yaxes(title="loss in the second copy (nats)")
    pairs = losses.pivot(index="head", columns="how", values="loss")
    parts = [f"{h}: " + ", ".join(f"{how} {v:.2f}" for how, v in row.items()) for h, row in pairs.iterrows()]
    return Figure(
        figure,
        f"Bars of loss after ablating each head; intact {intact:.2f} nats. " + "; ".join(parts) + ".",
        losses.sort_values("loss", ascending=False),
    )


def path_ablations(results: pd.DataFrame, title: str) -> Figure:
    """Induction score and loss after cutting paths.

    Args:
        results: Columns path, induction (best head), loss (nats).
        title: States what was found.
    """
    figure = make_subplots(1, 2, horizontal_spacing=0.12, shared_yaxes=True)
    for col, (column, axis) in enumerate(
        [("induction", "best induction score"), ("loss", "loss in the second copy (nats)")], 1
    ):
        figure.add_bar(
            x=results[column],
            y=results["path"],
            orientation="h",
            text=[f"{v:.2f}" for v in results[column]],
            textposition="outside",
            cliponaxis=False,
            marker={"color": COLOURS[col - 1]},
            showlegend=False,
            row=1,
            col=col,
        )
        figure.update_xaxes(title=axis, range=[0, 1.2 * float(results[column].max())], row=1, col=col)
    styled(figure, title, height=120 + 40 * len(results))
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(margin={"l": 260})
    parts = [f"{row.path}: score {row.induction:.2f}, loss {row.loss:.2f}" for row in results.itertuples()]
    return Figure(figure, "Bars after each path ablation. " + "; ".join(parts) + ".", results)


def composition_dots(scores: pd.DataFrame, baseline: np.ndarray) -> Figure:
    """Composition scores of pairs of heads beside what random matrices score.

    Args:
        scores: Columns kind (Q, K or V), pair, group (drawn as colour and shape), score.
        baseline: Scores of random pairs; their middle 95% is drawn.
    """
    low, high = np.quantile(baseline, [0.025, 0.975])
    figure = go.Figure()
    figure.add_hrect(y0=low, y1=high, fillcolor="#999999", opacity=0.35, line_width=0)
    kinds = list(dict.fromkeys(scores["kind"]))
    for i, (group, part) in enumerate(scores.groupby("group", sort=False)):
        rank = part.groupby("kind").cumcount() - (part.groupby("kind")["score"].transform("size") - 1) / 2
        figure.add_scatter(
            x=[kinds.index(k) for k in part["kind"]] + 0.02 * rank + 0.25 * i - 0.12,
            y=part["score"],
            mode="markers",
            name=group,
            text=part["pair"],
            hovertemplate="%{text}: %{y:.3f}",
            marker={"color": COLOURS[i], "symbol": MARKERS[i], "size": 9},
        )
    top = scores.loc[scores["score"].idxmax()]
    styled(
        figure,
        f"Highest: {top['kind']}-composition of {top['pair']}, {top['score']:.3f}; random pairs reach {high:.3f}",
    )
    figure.update_xaxes(
        title="read through", tickvals=list(range(len(kinds))), ticktext=[f"{k}-composition" for k in kinds]
    )
    figure.update_yaxes(title="composition score (no unit)", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": -0.22})
    above = scores[scores["score"] > high].groupby("kind", sort=False).size().to_dict()
    counts = ", ".join(f"{above.get(k, 0)} of {int((scores['kind'] == k).sum())} for {k}" for k in kinds)
    band = f"a grey band from {low:.3f} to {high:.3f} for random pairs"
    alt = f"Dots of composition scores with {band}. Above the band: {counts}."
    largest = scores.groupby("group")["score"].transform("max")  # the group that stands out first, whole
    order = scores.assign(largest=largest).sort_values(["largest", "score"], ascending=False)
    return Figure(figure, alt, order.drop(columns="largest"))
