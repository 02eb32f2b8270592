"""What the skip does to a Jacobian, and to gradients through many blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, Figure, styled


def singular_values(spectra: Mapping[str, Float[Tensor, "d_model"]], small: float = 0.1) -> Figure:
    """Sorted singular values of Jacobians, on a logarithmic axis.

    Args:
        spectra: Singular values, largest first, by name; the first is the one with the skip.
        small: A direction with a smaller singular value counts as nearly lost.
    """
    import pandas as pd
    import plotly.graph_objects as go

    rows = [
        {"Jacobian": name, "index": i + 1, "singular value": float(value)}
        for name, values in spectra.items()
        for i, value in enumerate(values)
    ]
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("Jacobian", sort=False)):
        figure.add_scatter(
            x=part["index"], y=part["singular value"].clip(lower=1e-6), mode="lines+markers", name=name,
            line={"dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 5},
        )  # fmt: skip
    figure.add_hline(y=small, line={"color": "grey", "dash": "dot"})
    lost = {name: int((values < small).sum()) for name, values in spectra.items()}
    size = len(next(iter(spectra.values())))
    title = "Singular values below {:g}: {}, of {}".format(
        small, "; ".join(f"{n} {name}" for name, n in lost.items()), size
    )
    styled(figure, title)
    figure.update_xaxes(title="index, largest first")
    figure.update_yaxes(title="singular value", type="log", exponentformat="power", dtick=2)
    text = "; ".join(f"{name} from {float(v[0]):.2f} down to {float(v[-1]):.1e}" for name, v in spectra.items())
    return Figure(figure, f"Sorted singular values on a logarithmic axis: {text}.", data)


def against_depth(depths: Sequence[int], ratios: Mapping[tuple[bool, bool], Sequence[float]]) -> Figure:
    """First-layer gradient norm against depth, relative to depth 1, on logarithmic axes.

    Args:
        depths: Numbers of blocks.
        ratios: By (skip, norm).
    """
    import pandas as pd
    import plotly.graph_objects as go

    def label(skip: bool, norm: bool) -> str:
        return f"{'skip' if skip else 'no skip'}, {'norm' if norm else 'no norm'}"

    rows = [
        {"stack": label(*key), "depth": depth, "gradient ratio": value}
        for key, values in ratios.items()
        for depth, value in zip(depths, values, strict=True)
    ]
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("stack", sort=False)):
        figure.add_scatter(
            x=part["depth"], y=part["gradient ratio"], mode="lines+markers", name=name,
            line={"dash": DASHES[i], "color": COLOURS[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    ends = {label(*key): values[-1] for key, values in ratios.items()}
    steadiest = min(ends, key=lambda name: max(ends[name], 1 / ends[name]))
    weakest = min(ends, key=ends.get)
    title = f"After {depths[-1]} blocks: {ends[weakest]:.0e} ({weakest}); steadiest {ends[steadiest]:.2f} ({steadiest})"
    styled(figure, title, height=420)
    figure.update_xaxes(title="depth (blocks)", type="log", tickvals=list(depths))
    figure.update_yaxes(
        title="first-layer gradient norm / that at depth 1", type="log", exponentformat="power", dtick=2
    )
    text = "; ".join(f"{name} {value:.2g}" for name, value in ends.items())
    return Figure(figure, f"Lines on logarithmic axes. Gradient ratio at depth {depths[-1]}: {text}.", data)


def evenness_against_depth(
    depths: Sequence[int], ratios: Mapping[bool, Sequence[float]], width: int, seeds: int
) -> Figure:
    """Participation ratio of the squared singular values of the whole stack's Jacobian, with and without the skip.

    Args:
        depths: Numbers of blocks, the smallest first.
        ratios: By skip; means over seeds.
        width: d_model, the ratio when all singular values are alike.
        seeds: Number of random stacks behind each mean.
    """
    import pandas as pd
    import plotly.graph_objects as go

    names = {True: "skip, norm", False: "no skip, norm"}
    rows = [
        {"stack": names[skip], "depth": depth, "participation ratio": value}
        for skip, values in ratios.items()
        for depth, value in zip(depths, values, strict=True)
    ]
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("stack", sort=False)):
        figure.add_scatter(
            x=part["depth"], y=part["participation ratio"], mode="lines+markers", name=name,
            line={"dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 8},
        )  # fmt: skip
    figure.add_hline(y=width, line={"color": "grey", "dash": "dot"}, annotation_text=f"all {width} alike",
                     annotation_position="bottom right")  # fmt: skip
    ends = ", ".join(f"{values[0]:.1f} → {values[-1]:.1f} ({names[skip]})" for skip, values in ratios.items())
    blocks = f"{depths[0]} to {depths[-1]} blocks"
    styled(figure, f"Participation ratio, {blocks}: {ends}")
    figure.update_xaxes(title="depth (blocks)", type="log", tickvals=list(depths))
    figure.update_yaxes(title=f"participation ratio (mean of {seeds} stacks)", range=[0, 1.08 * width])
    alt = f"Two lines against depth. Participation ratio of {width} singular values, from {blocks}: {ends}."
    return Figure(figure, alt, data)
