"""Loss along a sequence that repeats itself."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from labs_src.figures.figure import COLOURS, Figure, styled


def loss_by_position(loss: Float[Tensor, "batch pos-1"], uniform: float) -> Figure:
    """Mean loss of each next token, with the middle 80% of sequences.

    Args:
        loss: Nats; entry t is for predicting token t+1 of BOS + block + block.
        uniform: What a uniform guess costs, in nats.
    """
    length = loss.shape[1] // 2
    low, high = loss.quantile(0.1, 0).tolist(), loss.quantile(0.9, 0).tolist()
    position = list(range(1, loss.shape[1] + 1))
    data = pd.DataFrame({"predicted position": position, "mean loss": loss.mean(0).tolist(), "low": low, "high": high})
    figure = go.Figure()
    figure.add_scatter(
        x=position + position[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor="rgba(0,114,178,0.18)",
        line={"width": 0},
        name="middle 80% of sequences",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=position,
        y=data["mean loss"],
        mode="lines+markers",
        name="mean",
        line={"color": COLOURS[0]},
        marker={"size": 5},
    )
    figure.add_hline(
        y=uniform,
        line={"color": COLOURS[1], "dash": "dash"},
        annotation_text="uniform guess",
        annotation_position="bottom left",
    )
    figure.add_vline(
        x=length + 0.5,
        line={"color": "black", "dash": "dot"},
        annotation_text="second copy",
        annotation_position="top right",
    )
    first, second = float(loss[:, :length].mean()), float(loss[:, length + 1 :].mean())
    styled(figure, f"Loss goes from {first:.1f} nats in the first copy to {second:.2f} in the second")
    figure.update_xaxes(title="position of the predicted token")
    figure.update_yaxes(title="loss (nats)", rangemode="tozero")
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.5})
    alt = (
        f"Line of mean loss against position. It is near {first:.1f} nats up to position {length}, where the first "
        f"copy ends, stays high for position {length + 1}, and is near {second:.2f} nats from then on."
    )
    return Figure(figure, alt, data)
