"""Free and privileged bases: what a rotation changes, and how ReLU mixes rotated coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from labs_src.figures.figure import COLOURS, DASHES, Figure, styled


def logit_changes(changes: Mapping[str, float]) -> Figure:
    """A bar for each change of basis: the largest change of a logit, on a logarithmic axis.

    Args:
        changes: Largest absolute change of any logit, by what was done.
    """
    import pandas as pd
    import plotly.graph_objects as go

    data = pd.DataFrame({"change of basis": list(changes), "largest change of a logit": list(changes.values())})
    shown = data["largest change of a logit"].clip(lower=1e-16)
    big = [value > 1e-3 for value in shown]
    figure = go.Figure(
        go.Bar(
            x=shown, y=data["change of basis"], orientation="h", text=[f"{v:.1e}" for v in changes.values()],
            textposition="outside", cliponaxis=False,
            marker={"color": [COLOURS[1] if b else COLOURS[0] for b in big],
                    "pattern": {"shape": ["/" if b else "" for b in big], "fillmode": "overlay", "fgcolor": "white"}},
        )
    )  # fmt: skip
    changed = [name for name, b in zip(changes, big, strict=True) if b]
    title = f"Of {len(changes)} changes of basis, {len(changed)} changes the logits: {', '.join(changed) or 'none'}"
    styled(figure, title, height=300)
    figure.update_xaxes(title="largest change of a logit", type="log", exponentformat="power", dtick=2)
    figure.update_yaxes(autorange="reversed")
    text = ", ".join(f"{name} {value:.1e}" for name, value in changes.items())
    return Figure(figure, f"Bars on a logarithmic axis, largest change of a logit: {text}.", data)


def interference(relu_new: Callable) -> Figure:
    """The first output coordinate against the second input coordinate, the first held still: standard and turned basis.

    Args:
        relu_new: (x', y') -> (x', y') after ReLU in the standard basis, on 1-D tensors.
    """
    import pandas as pd
    from plotly.subplots import make_subplots

    moved, held = torch.linspace(-3, 3, 61), (-1.0, 1.0, 2.0)
    bases = {"standard: x against y": lambda x, y: (x.clamp(min=0), y.clamp(min=0)), "turned: x' against y'": relu_new}
    figure = make_subplots(cols=2, subplot_titles=list(bases), shared_yaxes=True, horizontal_spacing=0.06)
    rows, spread = [], {}
    for column, (name, function) in enumerate(bases.items(), start=1):
        for i, first in enumerate(held):
            out = function(torch.full_like(moved, first), moved)[0]
            spread[name] = max(spread.get(name, 0.0), float(out.max() - out.min()))
            rows += [
                {"basis": name, "first in": first, "second in": float(m), "first out": float(o)}
                for m, o in zip(moved, out, strict=True)
            ]
            figure.add_scatter(
                x=moved.tolist(), y=out.tolist(), row=1, col=column, name=f"first coordinate {first:g}", mode="lines",
                line={"color": COLOURS[i], "dash": DASHES[i], "width": 3}, showlegend=column == 1,
            )  # fmt: skip
    standard, turned = spread.values()
    title = f"From −3 to 3 the second coordinate moves the first by {standard:.1f} (standard), {turned:.1f} (turned)"
    styled(figure, title, height=380)
    figure.update_layout(margin={"t": 80})
    figure.update_xaxes(title="second coordinate of the input")
    figure.update_yaxes(title="first coordinate after ReLU", col=1)
    alt = (
        f"Two panels. In the standard basis the lines are flat (they move by {standard:.1f}); in the turned basis they "
        f"bend (by up to {turned:.1f} in the range shown, −3 to 3)."
    )
    return Figure(figure, alt, pd.DataFrame(rows))
