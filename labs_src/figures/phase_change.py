"""Induction forming: one run's history, and its checkpoints behind a slider."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from plotly.subplots import make_subplots

from labs_src.figures.attention_patterns import percent
from labs_src.figures.figure import COLOURS, DASHES, MARKERS, SEQUENTIAL, Figure, styled


def first_above(steps: Sequence[int], values: Sequence[float], level: float) -> int | None:
    """The first step at which a value is above `level`, or None."""
    return next((step for step, value in zip(steps, values, strict=True) if value > level), None)


def history_curves(history: Sequence[dict]) -> Figure:
    """Losses on the left axis, head scores on the right one.

    Args:
        history: Entries with step, loss_first, loss_second (nats), previous and induction (best head, 0 to 1);
            loss_chains (nats), on the training text that does not repeat, is drawn if it is there.
    """
    curves = [
        ("loss_first", "loss, first copy", False),
        ("loss_second", "loss, second copy", False),
        ("previous", "best previous-token score", True),
        ("induction", "best induction score", True),
        ("loss_chains", "loss, chains", False),
    ]
    curves = [curve for curve in curves if curve[0] in history[0]]
    data = pd.DataFrame(history)[["step", *(column for column, _, _ in curves)]]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    for i, (column, label, secondary) in enumerate(curves):
        figure.add_scatter(
            x=data["step"],
            y=data[column].round(4),
            name=label,
            mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i]},
            marker={"symbol": MARKERS[i], "size": 6},
            secondary_y=secondary,
        )
    before = first_above(data["step"], data["previous"], 0.5)
    after = first_above(data["step"], data["induction"], 0.5)
    said = [
        f"{name} {f'at step {step}' if step is not None else 'never'}"
        for name, step in [("previous-token", before), ("induction", after)]
    ]
    styled(figure, f"First score above 0.5: {said[0]}, {said[1]}", height=420)
    figure.update_xaxes(title="training step")
    figure.update_yaxes(title="loss (nats)", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(
        title="score (mean attention)",
        range=[0, 1.02],
        tickmode="linear",
        tick0=0,
        dtick=0.2,
        showgrid=False,
        secondary_y=True,
    )
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, margin={"r": 70})
    last = data.iloc[-1]
    alt = (
        f"{len(curves)} curves against training step. Scores pass 0.5: {said[0]}, {said[1]}. At the end the second "
        f"copy's loss is {last['loss_second']:.2f} nats, the first copy's {last['loss_first']:.2f}."
    )
    return Figure(figure, alt, data)


def checkpoint_slider(frames: Sequence[dict], names: tuple[str, str], active: int = 0) -> Figure:
    """Two attention patterns and the loss at each shipped checkpoint, chosen with a slider.

    Each step of the slider shows traces that are already in the figure, so that it works wherever plotly is drawn.

    Args:
        frames: Entries with step, previous and induction ((query, key) patterns), loss_second (nats),
            previous_score and induction_score.
        names: What the two patterns are.
        active: The frame shown at first.
    """
    titles = [f"{names[0]}", f"{names[1]}", "loss, second copy"]
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.34, 0.34, 0.32])
    steps = [frame["step"] for frame in frames]
    losses = [round(float(frame["loss_second"]), 3) for frame in frames]
    figure.add_scatter(x=steps, y=losses, mode="lines", line={"color": "#999999"}, row=1, col=3)
    for i, frame in enumerate(frames):
        for col, key in ((1, "previous"), (2, "induction")):
            figure.add_heatmap(
                z=percent(frame[key]),
                zmin=0,
                zmax=100,
                colorscale=SEQUENTIAL,
                showscale=False,
                visible=i == active,
                hovertemplate="query %{y}, key %{x}: %{z}%<extra></extra>",
                row=1,
                col=col,
            )
        marker = {"color": COLOURS[1], "symbol": MARKERS[1], "size": 12}
        figure.add_scatter(
            x=[steps[i]], y=[losses[i]], mode="markers", marker=marker, visible=i == active, row=1, col=3
        )
    scores = [(round(float(f["previous_score"]), 2), round(float(f["induction_score"]), 2)) for f in frames]
    ends = [f"{scores[i][1]:.2f} at step {steps[i]}" for i in (0, -1)]
    base = f"{len(frames)} checkpoints: induction score {ends[0]}, {ends[1]}"
    choices = []
    for i, step in enumerate(steps):
        visible = [True] + [j == i for j in range(len(frames)) for _ in range(3)]
        headline = f"Step {step}: previous-token score {scores[i][0]:.2f}, induction score {scores[i][1]:.2f}"
        choices.append(
            {"label": str(step), "method": "update", "args": [{"visible": visible}, {"title.text": headline}]}
        )
    styled(figure, base, height=470)
    slider = {"active": active, "steps": choices, "currentvalue": {"prefix": "training step "}, "pad": {"t": 45}}
    figure.update_layout(sliders=[slider], showlegend=False)
    for col in (1, 2):
        figure.update_yaxes(
            title="query" if col == 1 else None,
            autorange="reversed",
            constrain="domain",
            showgrid=False,
            row=1,
            col=col,
        )
        figure.update_xaxes(title="key", constrain="domain", showgrid=False, row=1, col=col)
    figure.update_yaxes(scaleanchor="x", row=1, col=1)
    figure.update_yaxes(scaleanchor="x2", row=1, col=2)
    figure.update_xaxes(title="training step", row=1, col=3)
    figure.update_yaxes(title="nats", rangemode="tozero", row=1, col=3)
    data = pd.DataFrame(
        [
            {"step": s, "loss_second": loss, "previous": p, "induction": q}
            for s, loss, (p, q) in zip(steps, losses, scores, strict=True)
        ]
    )
    alt = (
        f"A slider over {len(frames)} checkpoints with two attention patterns and the loss curve. The second copy's "
        f"loss is {losses[0]:.2f} nats at step {steps[0]} and {losses[-1]:.2f} at step {steps[-1]}."
    )
    return Figure(figure, alt, data)
