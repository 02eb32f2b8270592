"""Passages as text to passages as nodes: the notation of :mod:`labs_src.language.passages`."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from labs_src.language.passages import GLUE, PASSAGES
from labs_src.language.words import POOLS

_SLOT = re.compile(r"(?P<name>[a-z]+\d+)(\.(?P<attr>\w+))?(/(?P<role>\w+))?(@(?P<dep>\w+))?(:(?P<why>\w+))?$")
_SUM = re.compile(r"=(?P<a>\w+)(?P<op>[+])(?P<b>\w+)$")
_PIECES = re.compile(r"\[|\]|\||\{[^}]*\}|[^\s\[\]|{}]+")
NONCE_LENGTHS = {"nonce": (2, 3), "chant": (5, 6, 7, 8)}
"""Pools of made-up words in a row, and how many; all lengths are equally likely."""


class Literal(NamedTuple):
    """A fixed word."""

    word: str
    role: str


class Slot(NamedTuple):
    """A value drawn from a pool, or an attribute of it."""

    name: str
    pool: str
    attr: str | None
    role: str
    dep: str | None
    why: str | None


class Sum(NamedTuple):
    """The sum of two number slots."""

    a: str
    b: str


class Either(NamedTuple):
    """One of several node lists, equally likely."""

    options: list[list]


class Include(NamedTuple):
    """A passage of another list."""

    domain: str


def _literal(piece: str) -> Literal:
    word, slash, role = piece.rpartition("/")
    if slash and word and not word.endswith("<"):
        return Literal(word, role)
    if not re.search(r"\w", piece):
        return Literal(piece, "punct")
    return Literal(piece, "glue" if piece in GLUE else "word")


def _slot(text: str) -> Slot | Sum | Include:
    if text.startswith("*"):
        if text[1:] not in PASSAGES:
            raise ValueError(f"no list of passages {text[1:]!r}")
        return Include(text[1:])
    if found := _SUM.match(text):
        return Sum(found["a"], found["b"])
    found = _SLOT.match(text)
    if not found:
        raise ValueError(f"cannot read the slot {{{text}}}")
    pool = found["name"].rstrip("0123456789")
    if pool not in NONCE_LENGTHS and pool not in POOLS:
        raise ValueError(f"no pool {pool!r} for the slot {{{text}}}")
    return Slot(found["name"], pool, found["attr"], found["role"] or found["attr"] or pool, found["dep"], found["why"])


def compile_passage(template: str) -> list:
    """A template (see :mod:`labs_src.language.passages`) as a list of nodes.

    Raises:
        ValueError: for an unreadable slot, an unknown pool or list, or unbalanced brackets.
    """
    stack: list[list[list]] = [[[]]]
    for piece in _PIECES.findall(template):
        if piece == "[":
            stack.append([[]])
        elif piece == "|":
            stack[-1].append([])
        elif piece == "]":
            if len(stack) == 1:
                raise ValueError(f"']' without '[' in: {template}")
            options = stack.pop()
            stack[-1][-1].append(Either(options))
        elif piece.startswith("{"):
            stack[-1][-1].append(_slot(piece[1:-1]))
        else:
            stack[-1][-1].append(_literal(piece))
    if len(stack) > 1 or len(stack[0]) > 1:
        raise ValueError(f"unbalanced brackets in: {template}")
    return stack[0][0]


@cache
def compiled() -> dict[str, list[list]]:
    """Every passage, compiled, by list."""
    return {name: [compile_passage(t) for t in templates] for name, templates in PASSAGES.items()}
