"""What every figure of the course is: tidy data, a plotly figure made from it, and a sentence for who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Okabe and Ito's colours, told apart by every common kind of colour vision. Shapes and dashes repeat the distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "triangle-down")
SEQUENTIAL = "Viridis"
DIVERGING = "RdBu"  # blue is positive; use with zmid=0

MIMETYPE = "application/vnd.plotly.v1+json"


@dataclass(frozen=True)
class Figure:
    """A figure and what it is made of.

    Attributes:
        plotly: Title states the finding, axes are labelled with units.
        alt: One sentence that says what is to be seen.
        data: The numbers drawn, one observation a row.
    """

    plotly: go.Figure
    alt: str
    data: pd.DataFrame

    def __post_init__(self) -> None:
        if not (self.plotly.layout.title.text or "").strip():
            raise ValueError("A figure needs a title that states its finding.")
        if len(self.alt.split()) < 5:
            raise ValueError("A figure needs a sentence of alt text that says what is to be seen.")

    @property
    def title(self) -> str:
        return self.plotly.layout.title.text

    def bundle(self) -> dict[str, Any]:
        """Plotly's mimetype bundle, with floats kept to what a screen can show so that notebooks stay small."""
        import json

        return {MIMETYPE: json.loads(self.plotly.to_json(engine="json"))}


def styled(figure: go.Figure, title: str, *, height: int = 380, width: int | None = None) -> go.Figure:
    """The course's one style: white, thin grid, a title on the left, colours that survive colour blindness."""
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0.0, "xanchor": "left", "xref": "paper", "font": {"size": 15}},
        colorway=list(COLOURS),
        height=height,
        width=width,
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        font={"size": 12},
        legend={"bgcolor": "rgba(255,255,255,0.7)"},
    )
    figure.update_xaxes(gridcolor="#e5e5e5", zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor="#e5e5e5", zeroline=False, automargin=True)
    return figure
