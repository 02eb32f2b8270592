"""Which writer put the logit there: direct shares, and what is lost when a writer is removed."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from labs_src.figures.figure import COLOURS, Figure, styled

KINDS = ("embedding", "position", "head", "MLP", "bias")
_PATTERNS = {"embedding": "", "position": "x", "head": "/", "MLP": ".", "bias": "+"}


def kind(name: str) -> str:
    """What a writer is, from its name."""
    from labs_src.circuits import stream

    found = stream.kind(name)
    return found if found in KINDS else "bias"


def shares(names: Sequence[str], values: Float[Tensor, "component"]) -> Figure:
    """A bar for each writer: its share of the right token's logit, above its share of the mean logit.

    Args:
        names: Of the writers, as `labs_src.circuits.stream.parts` gives them, and the biases' row.
        values: Their shares, in logits.
    """
    import pandas as pd
    import plotly.graph_objects as go

    data = pd.DataFrame({"writer": names, "kind": [kind(name) for name in names], "share": values.tolist()})
    figure = go.Figure()
    for i, what in enumerate(KINDS):
        part = data[data["kind"] == what]
        figure.add_bar(
            x=part["writer"], y=part["share"], name=what,
            marker={
                "color": COLOURS[i],
                "pattern": {"shape": _PATTERNS[what], "fillmode": "overlay", "fgcolor": "white", "solidity": 0.25},
            },
        )  # fmt: skip
    top = data.sort_values("share", ascending=False).head(3)
    total = data["share"].sum()
    title = f"{', '.join(top['writer'])} write {top['share'].sum() / total:.0%} of the right token's {total:.1f} logits"
    styled(figure, title, height=430)
    figure.update_xaxes(title="writer", tickangle=-60, categoryorder="array", categoryarray=list(names))
    figure.update_yaxes(title="share of right logit − mean logit")
    figure.add_hline(y=0, line={"color": "black", "width": 1})
    listed = ", ".join(f"{row.writer} {row.share:.2f}" for row in top.itertuples())
    return Figure(figure, f"Bars of each writer's share of the right token's logit; the largest are {listed}.", data)


def direct_against_ablation(
    names: Sequence[str],
    direct: Float[Tensor, "component"],
    effect: Float[Tensor, "component"],
    total: float,
    small: float = 1.0,
    large: float = 5.0,
) -> Figure:
    """Two bars for each writer: its direct share, and what the right logit loses when the writer writes nothing.

    Args:
        names: Of the writers.
        direct: Direct shares, in logits above the mean logit.
        effect: Drop of the same quantity under zero ablation.
        total: The quantity before any ablation; the title counts the quiet writers that cost over 95% of it.
        small: A writer with a smaller direct share says little itself (logits).
        large: A writer whose loss is larger is needed (logits).
    """
    import pandas as pd
    import plotly.graph_objects as go

    columns = {"direct share": direct.tolist(), "lost when it writes nothing": effect.tolist()}
    data = pd.DataFrame({"writer": names, "kind": [kind(name) for name in names]} | columns)
    figure = go.Figure()
    for i, column in enumerate(columns):
        figure.add_bar(
            x=data["writer"], y=data[column], name=column,
            marker={
                "color": COLOURS[i],
                "pattern": {"shape": "/" if i else "", "fillmode": "overlay", "fgcolor": "white", "solidity": 0.25},
            },
        )  # fmt: skip
    hidden = data[(data["direct share"].abs() < small) & (data["lost when it writes nothing"] > large)]
    fatal = int((hidden["lost when it writes nothing"] > 0.95 * total).sum())
    title = f"{len(hidden)} of {len(data)} writers have shares under {small:g} yet cost over {large:g} logits; "
    title += f"{fatal} of them over 95% of all {total:.1f}"
    styled(figure, title, height=430)
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": 1.08, "x": 0.0})
    figure.update_xaxes(title="writer", tickangle=-60, categoryorder="array", categoryarray=list(names))
    figure.update_yaxes(title="logits above the mean logit")
    figure.add_hline(y=0, line={"color": "black", "width": 1})
    figure.add_hline(y=total, line={"color": "grey", "dash": "dot"}, annotation_text="before any ablation",
                     annotation_position="top right")  # fmt: skip
    listed = ", ".join(f"{r['writer']} ({r['lost when it writes nothing']:.1f} lost)" for _, r in hidden.iterrows())
    return Figure(figure, f"Pairs of bars for each writer. Quiet but needed: {listed or 'none'}.", data)
