"""Label tables: what people, programs or this project's ground truth say about each latent of a dictionary.

One layout for all: a table with ``index`` (latent) and ``description``, and whatever else its source gives, such as
precision and recall. CSV, JSON and JSON lines are read, packed with gzip or not; Neuronpedia's exports are JSON.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".json", ".jsonl", ".csv.gz", ".json.gz", ".jsonl.gz")
EXPORT = "https://www.neuronpedia.org/api/explanation/export"


class DamagedLabels(ValueError):
    """A label table cannot be read; the message says which and why."""


def read(path: Path | str) -> pd.DataFrame:
    """A label table, sorted by latent; a latent can have several rows, or none.

    Raises:
        DamagedLabels: the file is cut short, or has no columns ``index`` and ``description``.
    """
    import pandas as pd

    path = Path(path)
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        kind = path.name.removesuffix(".gz").rpartition(".")[2]
        table = _parse(text, kind)
        table["index"] = pd.to_numeric(table["index"]).astype(int)
        table["description"] = table["description"].astype(str)
    except KeyError:
        raise DamagedLabels(f"{path} is no label table: it needs the columns index and description") from None
    except (ValueError, TypeError, OSError, EOFError, zlib.error) as error:
        raise DamagedLabels(f"{path} cannot be read as a label table ({error}). Get it again.") from None
    return table.sort_values("index", kind="stable", ignore_index=True)


def _parse(text: str, kind: str) -> pd.DataFrame:
    import io

    import pandas as pd

    if kind == "csv":
        return pd.read_csv(io.StringIO(text), keep_default_na=False)
    rows: Any = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines() if line.strip()]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is not a list of rows")
    return pd.DataFrame(rows, columns=list(dict.fromkeys(k for row in rows for k in row)))


def find(folder: Path, name: str) -> Path | None:
    """The table called ``name`` in a folder, with any of the known endings."""
    return next((folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()), None)
