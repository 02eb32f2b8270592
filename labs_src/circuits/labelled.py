"""A head's table with words in it: as a data frame, on the screen, as files, and as a page that searches and sorts.

The page is one piece of HTML with its own few lines of script, the same in a notebook and in a file: no network, no
library, and it is still a plain table where scripts do not run.
"""

from __future__ import annotations

import hashlib
import html
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs_src.circuits import bases, folding, head_tables
from labs_src.circuits.head_tables import SIDES, Table
from labs_src.circuits.tables import Pairs
from labs_src.models.hub import Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from labs_src.models import Loaded

ENDS = ("size", "top", "bottom")


def names(labels: Any, n: int) -> list[str]:
    """One description per latent from a label table: the one with the best F1, or the first; "" where there is none."""
    found = [""] * n
    if "f1" in labels:
        labels = labels.sort_values("f1", ascending=False, kind="stable")
    for index, description in zip(labels["index"], labels["description"], strict=True):
        if 0 <= index < n and not found[index]:
            found[index] = str(description)
    return found


def frame(
    table: Table, left: list[str] | None = None, right: list[str] | None = None, pairs: Pairs | None = None
) -> pd.DataFrame:
    """Entries as rows: rank, value, z, and the number and label of both features. The column side comes first in a QK
    table (key, then query), as in the published ones.

    Args:
        table: of a head.
        left, right: labels of rows and columns.
        pairs: which entries; by default both ends by size.
    """
    import pandas as pd

    pairs = table.by_size() if pairs is None else pairs
    sides = [
        (side, index, words)
        for side, index, words in zip(SIDES[table.kind], (pairs.left, pairs.right), (left, right), strict=True)
    ]
    columns: dict[str, Any] = {"rank": range(len(pairs)), "value": pairs.value.tolist(), "z": table.z(pairs).tolist()}
    for side, index, words in reversed(sides) if table.kind == "qk" else sides:
        columns[f"{side}_feature"] = index.tolist()
        if words is not None:
            columns[f"{side}_label"] = [words[i] for i in index.tolist()]
    return pd.DataFrame(columns)


def of_model(
    loaded: Loaded,
    kind: str,
    layer: int,
    head: int,
    k: int = 20,
    *,
    end: str = "size",
    distance: int = 0,
    cross: bool = False,
) -> tuple[Table, pd.DataFrame]:
    """The labelled table of a head of a model that comes with dictionaries.

    Args:
        loaded: from ``models.load``.
        kind: "qk" or "ov".
        layer, head: whose.
        k: rows.
        end: "size" for the largest absolute values, "top", or "bottom".
        distance: how far back the key stands (QK).
        cross: only pairs of two different features (QK).

    Raises:
        ValueError: no such kind, end, layer or head, or a model without a dictionary there.
    """
    if end not in ENDS:
        raise ValueError(f"an end is one of {', '.join(ENDS)}, not {end!r}")
    if kind not in SIDES:
        raise ValueError(f"a table is one of {', '.join(SIDES)}, not {kind!r}")
    if kind == "ov" and (distance or cross):
        raise ValueError(
            "distance and cross are for the query-key table: an OV table has no positions and two dictionaries"
        )
    try:
        folded = folding.fold(loaded.model, layer)
        folded.kv(head)
    except (IndexError, AttributeError) as problem:
        raise ValueError(
            str(problem) if isinstance(problem, IndexError) else f"{loaded.name} is no Gemma-2 model"
        ) from None
    rows, words = _basis(loaded, bases.entering(layer, loaded.dictionaries))
    if kind == "qk":
        table = head_tables.qk(folded, head, rows.basis(), k, distance=distance, cross=cross)
        out_words = words
    else:
        out, out_words = _basis(loaded, bases.leaving(layer))
        table = head_tables.ov(folded, head, rows.basis(), out.W_enc.T, k)
    pairs = {"size": lambda: table.by_size(k), "top": lambda: table.top, "bottom": lambda: table.bottom}[end]()
    return table, frame(table, words, out_words, pairs)


def _basis(loaded: Loaded, hook: str) -> tuple[Any, list[str] | None]:
    if hook not in loaded.dictionaries:
        known = ", ".join(loaded.dictionaries) or "none"
        raise ValueError(f"{loaded.name} has no dictionary at {hook}; there are: {known}")
    dictionary = loaded.dictionaries[hook]
    if hook not in loaded.labels:
        return dictionary, None
    try:
        return dictionary, names(loaded.labels[hook], dictionary.d_sae)
    except Unavailable as problem:  # the real model's labels are a download of their own
        warnings.warn(f"Numbers without words: {problem}", stacklevel=3)
        return dictionary, None


def export(table: pd.DataFrame, path: Path | str, caption: str = "") -> Path:
    """Write a table as .csv, .parquet or .html, by the name's ending; returns the path.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        table.to_csv(path, index=False, lineterminator="\n")
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".html":
        path.write_text(page(table, caption), encoding="utf-8")
    else:
        raise ValueError(f"a table is written as .csv, .parquet or .html; got {path.name}")
    return path


def page(table: pd.DataFrame, caption: str) -> str:
    """A whole page that searches and sorts a table, offline."""
    title = html.escape(caption or "Feature pairs")
    style = "body{font:14px system-ui,sans-serif;margin:2rem;color:#111;background:#fff}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body>\n{fragment(table, caption)}\n</body></html>\n"
    )


def fragment(table: pd.DataFrame, caption: str = "", rows: int | None = None) -> str:
    """A table with a search field and sortable columns, as HTML to put anywhere; several on one page do not meet.

    Args:
        table: what to show; words and numbers are escaped.
        caption: what it is.
        rows: height in rows before it scrolls; all if None.
    """
    cells = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    number = [table[c].dtype.kind in "iuf" for c in table]
    ident = "t" + hashlib.sha256(json.dumps([caption, list(table), cells]).encode()).hexdigest()[:10]
    align = [' class="n"' if n else "" for n in number]
    head = "".join(
        f'<th scope="col"{a}><button type="button">{html.escape(str(c).replace("_", " "))}</button></th>'
        for c, a in zip(table, align, strict=True)
    )
    body = "\n".join(
        "<tr>" + "".join(f"<td{a}>{html.escape(v)}</td>" for v, a in zip(row, align, strict=True)) + "</tr>"
        for row in cells
    )
    tall = f"max-height:{2 * rows + 2.5}em;overflow:auto" if rows else "overflow-x:auto"
    return (
        f'<div id="{ident}"><style>{_STYLE.replace("#T", "#" + ident)}</style>'
        f'<label>Search <input type="search" aria-controls="{ident}-b" placeholder="a word or a number"></label> '
        f'<span role="status"></span><div style="{tall}"><table><caption>{html.escape(caption)}</caption>'
        f'<thead><tr>{head}</tr></thead><tbody id="{ident}-b">\n{body}\n</tbody></table></div>'
        f"<script>{_SCRIPT.replace('#T', ident)}</script></div>"
    )


_STYLE = (
    "#T table{border-collapse:collapse;font-size:13px}#T caption{text-align:left;font-weight:600;padding:4px 0}"
    "#T th,#T td{text-align:left;padding:3px 10px;border-bottom:1px solid #ddd;vertical-align:top}"
    "#T .n{text-align:right}"
    "#T th{position:sticky;top:0;background:#f4f4f4}#T th button{all:unset;cursor:pointer;font-weight:600}"
    "#T th button:focus-visible{outline:2px solid #0072B2}#T th[aria-sort=ascending] button::after{content:' \\25B2'}"
    "#T th[aria-sort=descending] button::after{content:' \\25BC'}#T span{color:#555}"
)

_SCRIPT = """(() => {
const box = document.getElementById('#T'), body = box.querySelector('tbody'), rows = [...body.rows];
const field = box.querySelector('input'), status = box.querySelector('span'), heads = [...box.querySelectorAll('th')];
field.addEventListener('input', () => {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    row.hidden = !words.every(w => row.textContent.toLowerCase().includes(w));
    shown += !row.hidden;
  }
  status.textContent = words.length ? `${shown} of ${rows.length} rows` : '';
});
heads.forEach((head, i) => head.firstChild.addEventListener('click', () => {
  const down = head.getAttribute('aria-sort') === 'ascending', number = head.classList.contains('n');
  heads.forEach(h => h.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const text = row => row.cells[i].textContent;
  rows.sort((a, b) => (down ? -1 : 1) * (number ? text(a) - text(b) : text(a).localeCompare(text(b))));
  body.append(...rows);
}));
})();"""
