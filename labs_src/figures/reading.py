"""How the stream grows, and what the logit lens reads from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from labs_src.figures.figure import COLOURS, DASHES, MARKERS, SEQUENTIAL, Figure, styled


def state_names(count: int) -> list[str]:
    """ "embedding", "after block 0", ... for `count` states."""
    return ["embedding", *(f"after block {layer}" for layer in range(count - 1))]


def growth(
    names: Sequence[str],
    parts: Float[Tensor, "component batch pos d_model"],
    states: Float[Tensor, "state batch pos d_model"],
) -> Figure:
    """Mean length of the stream by depth, beside the lengths of everything written up to there, added up.

    Args:
        names: Of the components, as `labs_src.circuits.stream.parts` gives them.
        parts: What each wrote.
        states: The stream before each block and after the last.
    """
    import pandas as pd
    import plotly.graph_objects as go

    written = parts.norm(dim=-1).mean((1, 2)).tolist()
    depth_of = [
        0 if not name.startswith("L") else 1 + int(name[1 : name.replace(" ", "H").index("H")]) for name in names
    ]
    rows = []
    for index, name in enumerate(state_names(len(states))):
        total = sum(length for length, depth in zip(written, depth_of, strict=True) if depth <= index)
        length = float(states[index].norm(dim=-1).mean())
        rows.append({"state": name, "stream": length, "sum of the writes' lengths": total})
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, column in enumerate(("stream", "sum of the writes' lengths")):
        figure.add_scatter(
            x=data["state"], y=data[column], mode="lines+markers", name=column,
            line={"dash": DASHES[i]}, marker={"symbol": MARKERS[i], "size": 9},
        )  # fmt: skip
    first, last = data.iloc[0], data.iloc[-1]
    grown, share = last["stream"] / first["stream"], last["stream"] / last["sum of the writes' lengths"]
    shrinks = [name for name, change in zip(data["state"], data["stream"].diff(), strict=True) if change < 0]
    title = f"The stream grows {grown:.3g}-fold, to {share:.0%} of the sum of its writes' lengths"
    title += f"; shorter {', '.join(shrinks)}" if shrinks else ""
    styled(figure, title)
    figure.update_xaxes(title="state of the stream")
    figure.update_yaxes(title="mean length (Euclidean norm)", rangemode="tozero")
    lengths = ", ".join(f"{length:.1f}" for length in data["stream"])
    alt = (
        f"Lines by depth: the stream's mean length is {lengths}; "
        f"the sum of the writes' lengths goes from {first.iloc[2]:.1f} to {last.iloc[2]:.1f}."
    )
    return Figure(figure, alt, data)


def lens_of_sequence(
    log_probs: Float[Tensor, "state pos d_vocab"],
    tokens: Int[Tensor, "pos"],
    vocabulary: Sequence[str],
    second_copy: int,
) -> Figure:
    """The lens on one sequence: colour is the probability of the right next token, text the lens's first choice.

    Args:
        log_probs: What the lens reads at each state.
        tokens: The sequence.
        vocabulary: A name for each token id.
        second_copy: First position whose next token can be copied.

    Raises:
        ValueError: The probabilities of a position do not sum to 1.
    """
    import pandas as pd
    import plotly.graph_objects as go

    sums = log_probs.exp().sum(-1)
    if not ((sums - 1).abs() < 1e-3).all():
        worst = float(sums.flatten()[(sums - 1).abs().argmax()])
        raise ValueError(
            f"These are not log-probabilities: over the vocabulary they sum to {worst:.3g}, not 1. "
            "Does check(logit_lens) pass?"
        )
    right = tokens[1:]
    read = log_probs[:, :-1]
    probability = read.exp().gather(-1, right[None, :, None].expand(len(read), -1, 1))[..., 0]
    choice = read.argmax(-1)
    states = state_names(len(read))
    rows = [
        {"state": states[s], "position": p, "token": vocabulary[tokens[p]], "right next token": vocabulary[right[p]],
         "first choice": vocabulary[choice[s, p]], "probability of the right one": float(probability[s, p])}
        for s in range(len(states)) for p in range(len(right))
    ]  # fmt: skip
    columns = [f"{vocabulary[tokens[p]]} → {vocabulary[right[p]]} ({p})" for p in range(len(right))]
    figure = go.Figure(
        go.Heatmap(
            z=probability.tolist(), x=columns, y=states, zmin=0, zmax=1, colorscale=SEQUENTIAL,
            text=[[vocabulary[i] for i in row] for row in choice], texttemplate="%{text}", textfont={"size": 8},
            colorbar={"title": {"text": "p(right)"}}, xgap=1, ygap=1,
        )
    )  # fmt: skip
    figure.add_vline(x=second_copy - 0.5, line={"color": "black", "dash": "dash"})
    hits = (choice == right)[:, second_copy:].float().mean(1)
    title = f"Second copy: {hits[0]:.0%} right from the embedding, {hits[-1]:.0%} after the last block"
    styled(figure, title, height=400)
    figure.update_xaxes(title="token → the one that comes next (position)", tickangle=-70, tickfont={"size": 9})
    figure.update_yaxes(title="state of the stream", autorange="reversed")
    by_state = ", ".join(f"{name} {hit:.0%}" for name, hit in zip(states, hits.tolist(), strict=True))
    return Figure(
        figure,
        f"Heat map of states by positions. Right first choices in the second copy: {by_state}.",
        pd.DataFrame(rows),
    )


def lens_loss(losses: Mapping[str, Float[Tensor, "state"]], entropy: float) -> Figure:
    """Mean loss of the lens by depth, a line for each kind of text.

    Args:
        losses: Nats for each state, by kind of text; "Markov text" is the one that `entropy` belongs to.
        entropy: Of Markov text: the loss of a perfect model, in nats.
    """
    import pandas as pd
    import plotly.graph_objects as go

    rows = [
        {"text": name, "state": state, "loss": float(value)}
        for name, values in losses.items()
        for state, value in zip(state_names(len(values)), values, strict=True)
    ]
    data = pd.DataFrame(rows)
    figure = go.Figure()
    for i, (name, part) in enumerate(data.groupby("text", sort=False)):
        figure.add_scatter(
            x=part["state"], y=part["loss"], mode="lines+markers", name=name,
            line={"dash": DASHES[i], "color": COLOURS[i]}, marker={"symbol": MARKERS[i], "size": 9},
        )  # fmt: skip
    figure.add_hline(y=entropy, line={"color": "grey", "dash": "dot"}, annotation_text="entropy of Markov text",
                     annotation_position="bottom left")  # fmt: skip
    ends = {name: float(values[-1]) for name, values in losses.items()}
    starts = {name: float(values[0]) for name, values in losses.items()}
    best = max(ends, key=lambda name: starts[name] - ends[name])
    title = f"Depth helps the {best} most: {starts[best]:.1f} → {ends[best]:.1f} nats"
    styled(figure, title)
    figure.update_xaxes(title="state that is read")
    figure.update_yaxes(title="loss of the lens (nats per token)", rangemode="tozero")
    text = "; ".join(f"{name} from {starts[name]:.2f} to {ends[name]:.2f}" for name in ends)
    return Figure(figure, f"Loss of the lens in nats from the embedding to the last state: {text}.", data)
