"""What differs between models: the prompts, the dictionary that reads the injected vector, the pairs of layers.

setting = SETTINGS["gemma-2-2b"]
site = setting.site(loaded, inject=8)
found = search.ascend(site, start, [(12, 8526)])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labs_src.patchscopes.search import Site


@dataclass(frozen=True)
class Setting:
    """Of one model.

    Attributes:
        model: its name for ``models.load``.
        prompt: what the vector is put into while searching.
        description: what the model goes on from while decoding.
        placeholder: the word of both whose place the vector takes (its last mention).
        pairs: (layer where the vector goes in, layer of the target, neurons of interest there).
    """

    model: str
    prompt: str
    description: str
    placeholder: str
    pairs: tuple[tuple[int, int, tuple[int, ...]], ...]

    def site(self, loaded: Any, inject: int, prompt: str | None = None) -> Site:
        """The place for a vector that enters layer ``inject``, in the search prompt unless another is given."""
        text = self.prompt if prompt is None else prompt
        return Site(loaded.model, *placed(loaded.tokenizer, text, self.placeholder), inject)

    @staticmethod
    def dictionary(inject: int, name: str = "") -> str:
        """Key of the dictionary of what *enters* a layer.

        It is the one trained after the layer before. Gemma Scope's dictionary "of layer 8" reads what leaves layer 8,
        and would be one layer off for a vector that enters it.
        """
        from labs_src.circuits.bases import entering

        return entering(inject) + (f"/{name}" if name else "")


SETTINGS = {
    "mini-gemma": Setting("mini-gemma", "list : a", "list : a", "a", ((3, 3, ()), (4, 4, ()), (3, 4, ()))),
    "gemma-2-2b": Setting(
        "gemma-2-2b", "A detailed description of x", "A detailed description of x is that", "x",
        ((8, 12, (8526,)), (11, 12, (8526,))),
    ),
}  # fmt: skip
"""By model; that of Gemma-2-2B is the post's own."""


def placed(tokenizer: Any, text: str, placeholder: str) -> tuple[Any, int]:
    """Token ids [1, position] of a text and the position of the placeholder's last mention.

    Raises:
        ValueError: the placeholder is not in the text, or is not one token there.
    """
    start = text.rfind(placeholder)
    if start < 0:
        raise ValueError(
            f"the prompt {text!r} has no placeholder {placeholder!r}: put it in, or name another word of it"
        )
    out = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    end = start + len(placeholder)
    spans = out["offset_mapping"][0].tolist()
    touched = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
    if len(touched) != 1 or spans[touched[0]][1] != end:
        raise ValueError(
            f"the placeholder {placeholder!r} is not one token of its own in {text!r}; use a short word such as 'x'"
        )
    return out["input_ids"], touched[0]
