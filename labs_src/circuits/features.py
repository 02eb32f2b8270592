"""What a head's weights do to directions of the stream: queries, keys, values, pre-outputs, B and W2F.

Weights come folded (``folding.fold``); directions are rows of root mean square 1 (``bases``), or any rows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import rope
from labs_src.circuits.bases import Basis
from labs_src.circuits.folding import Folded

Rows = Basis | Tensor


def directions(rows: Rows) -> Float[Tensor, "F d_model"]:
    """The rows of a basis, or the rows themselves."""
    return rows.directions if isinstance(rows, Basis) else rows


def queries(folded: Folded, head: int, rows: Rows) -> Float[Tensor, "F d_head"]:
    """Q_f = f @ W_Q of every direction, before rotation, not scaled."""
    return directions(rows) @ folded.W_Q[head]


def keys(folded: Folded, head: int, rows: Rows) -> Float[Tensor, "F d_head"]:
    """K_f = f @ W_K of every direction, with the key head of the query head's group, before rotation."""
    return directions(rows) @ folded.W_K[folded.kv(head)]


def values(folded: Folded, head: int, rows: Rows) -> Float[Tensor, "F d_head"]:
    """V_f = f @ W_V of every direction, with the value head of the query head's group."""
    return directions(rows) @ folded.W_V[folded.kv(head)]


def pre_outputs(folded: Folded, head: int, rows: Rows) -> Float[Tensor, "G d_head"]:
    """How each output direction g reads the head's value vector: W_O g, so that ``values @ pre_outputs.T`` is
    (f W_V W_O) . g for every pair."""
    return directions(rows) @ folded.W_O[head].T


def affinity(
    folded: Folded,
    head: int,
    query_rows: Rows,
    key_rows: Rows | None = None,
    distance: float = 0,
    pairing: str = "halves",
    cap: bool = True,
) -> Float[Tensor, "F G"]:
    """B[i, j]: the score of a query that is direction i, for a key that is direction j, ``distance`` positions before.

        B = softcap(Q_f R(-distance) K_f^T * scale)

    Args:
        folded: weights of the layer.
        head: query head.
        query_rows, key_rows: directions; keys use those of queries if None.
        distance: how far the key lies behind.
        pairing: of the rotation, one of ``rope.PAIRINGS``.
        cap: apply the softcap. Sums of entries are scores only without it.
    """
    q = queries(folded, head, query_rows)
    k = keys(folded, head, query_rows if key_rows is None else key_rows)
    scores = q @ rope.key_at(k, distance, folded.theta, pairing).T * folded.scale
    return folded.cap(scores) if cap else scores


def written(folded: Folded, head: int, rows: Rows) -> Float[Tensor, "F d_model"]:
    """What the head writes for a key that is direction j: f_j W_V W_O, before 1 / rms of the norm after it."""
    return values(folded, head, rows) @ folded.W_O[head]


def writes(folded: Folded, head: int, rows: Rows, out: Rows | None = None, cosine: bool = True) -> Float[Tensor, "F G"]:
    """W2F[j, k]: how much of direction k the head writes for a key that is direction j.

    Args:
        folded, head: as above.
        rows: directions of the key.
        out: directions of the output; those of the key if None. For the published tables: columns of the next
            dictionary's encoder, as rows, with ``cosine=False``.
        cosine: the cosine between what is written and the direction, else the plain dot product.
    """
    write, target = written(folded, head, rows), directions(rows if out is None else out)
    if cosine:
        write, target = (torch.nn.functional.normalize(a, dim=-1) for a in (write, target))
    return write @ target.T
