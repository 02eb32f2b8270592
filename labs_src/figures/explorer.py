"""circuitsvis' interactive view of attention heads, from the script that its wheel carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor


def attention_explorer(pattern: Float[Tensor, "head query key"], tokens: Sequence[str], names: Sequence[str]) -> Any:
    """An HTML object to explore heads by hovering, or one line of text if circuitsvis is not there.

    The view is drawn by `local_src`: plain display of circuitsvis objects asks the network which script to use.
    """
    from IPython.display import HTML

    try:
        from circuitsvis.attention import attention_heads
    except ImportError:
        return "circuitsvis is not installed; nothing else in this lab needs it."
    view = attention_heads(attention=pattern.round(decimals=3), tokens=list(tokens), attention_head_names=list(names))
    return HTML(view.local_src)
