"""Words of the mini language as people write them: no space before punctuation, or inside brackets and quotes."""

from __future__ import annotations


def spaced(words: list[str]) -> list[str]:
    """Each word with the space in front of it, where one belongs there."""
    out: list[str] = []
    quoted, glue = False, True
    for word in words:
        closing = word in (".", ",", ":", ";", "?", ")") or (word == '"' and quoted)
        out.append(word if glue or closing else " " + word)
        glue = word == "(" or (word == '"' and not quoted)
        quoted ^= word == '"'
    return out


def pretty(words: list[str]) -> str:
    """A line of text."""
    return "".join(spaced(words))
