"""Import this before nbformat, jupytext or papermill: it halves the time that they take to start.

jsonschema looks for `rfc3987_syntax` when it is imported, and that package compiles a grammar of internet addresses
(0.9 s, in every process that reads a notebook). Notebooks hold no addresses to validate, and jsonschema does without.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None makes its import fail, as if absent
