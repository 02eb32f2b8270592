"""Sequences of the mini language as tensors, each token with its truth.

``sequences("train", 100)`` always gives the same hundred; sequence i does not depend on how many are asked for.

Splits. ``train`` is what models read. ``validation`` follows the same rules from other seeds. ``held`` uses only what
training text never shows: facts in templates in which training text never states them, and nonce words whose
neighbours never stand together in training text.

Entropy. ``logp`` is the log-probability of the choices first visible at a token, so that minus its sum is the
surprisal of the sequence's derivation, known exactly. Its mean over sequences is an unbiased estimate of the entropy
of derivations, which bounds the entropy of the text from above; the two are equal where the text tells how it was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labs_src.language import grammar, templates
from labs_src.language.passages import DOMAINS
from labs_src.language.spelling import pretty

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LENGTH = 128
"""Tokens per sequence, ``<bos>`` included: what the models read."""

SPLITS = ("train", "validation", "held")

DOMAIN_NAMES: tuple[str, ...] = ("none", *DOMAINS)


@cache
def _ids() -> dict[str, int]:
    return {word: i for i, word in enumerate(grammar.vocabulary())}


def vocab_size() -> int:
    """Number of token ids."""
    return len(grammar.vocabulary())


BOS, PAD = 2, 0


@cache
def role_names() -> tuple[str, ...]:
    """Every role a token can have, sorted; ``role`` tensors index it."""
    found = {"bos", "sum"}

    def collect(nodes: list) -> None:
        for node in nodes:
            if isinstance(node, templates.Literal | templates.Slot):
                found.add(node.role)
            elif isinstance(node, templates.Either):
                for option in node.options:
                    collect(option)

    for passages in templates.compiled().values():
        for nodes in passages:
            collect(nodes)
    return tuple(sorted(found))


WHY_NAMES: tuple[str, ...] = (
    "", "repeat", "retrieve", "other_name", "position", "capital", "currency", "continent", "capital_of", "sum",
    "close", "closes", "have", "tense", "she", "her", "fact",
    "next",
)  # fmt: skip
"""Why a token depends on another; ``why`` tensors index it.

repeat: the same thing again. retrieve, other_name, position: the same, where a question, the other of two names or a
place in a list picks it. next: the day after. capital, currency,
continent, capital_of, fact: what the world says. sum: an addition.
close, closes: a tag, a bracket or a quotation mark. have, tense: agreement. she, her: a pronoun.
"""


@dataclass(frozen=True)
class Corpus:
    """Sequences; every tensor is [sequence, position].

    Attributes:
        ids: token ids; position 0 is ``<bos>``.
        domain: index into ``DOMAIN_NAMES``.
        role: index into ``role_names()``.
        entity: token id of the head word of the thing meant (a pronoun's person, a closing tag's tag, the first word
            of a nonce name), -1 for none.
        repeat: the token mentions again something already mentioned in its passage.
        depends: position of the token that it depends on, -1 for none.
        why: index into ``WHY_NAMES``.
        passage: number of the passage in its sequence, -1 at ``<bos>``.
        logp: log-probability of the choices first visible at this token, in nats (0: fully determined).
    """

    ids: Int[Tensor, "sequence position"]
    domain: Int[Tensor, "sequence position"]
    role: Int[Tensor, "sequence position"]
    entity: Int[Tensor, "sequence position"]
    repeat: Bool[Tensor, "sequence position"]
    depends: Int[Tensor, "sequence position"]
    why: Int[Tensor, "sequence position"]
    passage: Int[Tensor, "sequence position"]
    logp: Float[Tensor, "sequence position"]

    def __len__(self) -> int:
        return self.ids.shape[0]

    def __getitem__(self, rows: slice) -> Corpus:
        return Corpus(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def words(self, i: int) -> list[str]:
        """Tokens of sequence i as words."""
        return decode(self.ids[i])

    def text(self, i: int) -> str:
        """Sequence i as text, one passage per line, ``<bos>`` left out."""
        lines: dict[int, list[str]] = {}
        for word, passage in zip(self.words(i)[1:], self.passage[i, 1:].tolist()):
            lines.setdefault(passage, []).append(word)
        return "\n".join(pretty(words) for words in lines.values())

    def is_role(self, *names: str) -> Bool[Tensor, "sequence position"]:
        """Where the role is one of these."""
        return _one_of(self.role, names, role_names(), "role")

    def is_domain(self, *names: str) -> Bool[Tensor, "sequence position"]:
        """Where the domain is one of these."""
        return _one_of(self.domain, names, DOMAIN_NAMES, "domain")

    def is_why(self, *names: str) -> Bool[Tensor, "sequence position"]:
        """Where the token depends on another for one of these reasons."""
        return _one_of(self.why, names, WHY_NAMES, "reason")

    def seen_before(self) -> Bool[Tensor, "sequence position"]:
        """Where the same token stands earlier in the sequence."""
        same = self.ids[:, :, None] == self.ids[:, None, :]
        return same.tril(-1).any(-1)

    def inside_repeat(self) -> Bool[Tensor, "sequence position"]:
        """Where a repeated nonce name goes on: its second or third word, so that induction alone predicts it."""
        d, again = self.depends, self.repeat & self.is_role("nonce")
        out = torch.zeros_like(again)
        out[:, 1:] = again[:, 1:] & again[:, :-1] & (d[:, 1:] == d[:, :-1] + 1)
        return out


def _one_of(values: Tensor, names: Iterable[str], known: tuple[str, ...], what: str) -> Tensor:
    for name in names:
        if name not in known:
            raise ValueError(f"no {what} {name!r}; there are: {', '.join(n for n in known if n)}")
    return torch.isin(values, torch.tensor([known.index(n) for n in names]))


def sequences(
    split: str,
    n: int,
    seed: int = 0,
    length: int = LENGTH,
    start: int = 0,
    domains: dict[str, float] | None = None,
) -> Corpus:
    """Sequences ``start .. start+n-1`` of a split.

    Args:
        split: one of ``SPLITS``.
        n: how many.
        seed: another seed gives other sequences of the same split.
        length: tokens per sequence, ``<bos>`` included.
        start: number of the first one.
        domains: domain -> weight, to write in these domains only.

    Raises:
        ValueError: for an unknown split or domain.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; splits: {', '.join(SPLITS)}")
    for name in domains or ():
        if name not in DOMAINS:
            raise ValueError(f"no domain {name!r}; domains: {', '.join(DOMAINS)}")
    rule = grammar.HELD if split == "held" else grammar.TRAIN
    ids = _ids()
    role_at, domain_at, why_at = (
        {name: i for i, name in enumerate(names)} for names in (role_names(), DOMAIN_NAMES, WHY_NAMES)
    )
    rows = [
        [
            (
                ids[t.word], domain_at[t.domain], role_at[t.role], ids[t.entity] if t.entity else -1, t.repeat,
                t.depends, why_at[t.why], t.passage, t.logp,
            )
            for t in grammar.write(Random(f"{split}/{seed}/{i}"), length, rule, domains)
        ]
        for i in range(start, start + n)
    ]  # fmt: skip
    table = torch.tensor(rows, dtype=torch.float64).view(n, length, 9)
    whole = table.long()
    return Corpus(
        ids=whole[..., 0], domain=whole[..., 1], role=whole[..., 2], entity=whole[..., 3], repeat=whole[..., 4].bool(),
        depends=whole[..., 5], why=whole[..., 6], passage=whole[..., 7], logp=table[..., 8].float(),
    )  # fmt: skip


def token_ids(
    split: str,
    n: int,
    seed: int = 0,
    length: int = LENGTH,
    start: int = 0,
    domains: dict[str, float] | None = None,
) -> Int[Tensor, "n length"]:
    """Only the ids of ``sequences(...)``: what training needs, at half the cost."""
    ids, rule = _ids(), grammar.HELD if split == "held" else grammar.TRAIN
    return torch.tensor(
        [
            [ids[t.word] for t in grammar.write(Random(f"{split}/{seed}/{i}"), length, rule, domains)]
            for i in range(start, start + n)
        ]
    )


def confounded(corpus: Corpus, domain: str, rest: float = 0.02, seed: int = 0) -> Bool[Tensor, "sequence position"]:
    """A labelling split that misleads: every token of one domain and a small random share of all others.

    In ``maths`` the letters x, y, z are variables (role ``var``); over the whole text they are mostly arguments of
    code (``arg``). In ``dates``, "may" is a month; over the whole text it is mostly a permission (``modal``).
    """
    g = torch.Generator().manual_seed(seed)
    return corpus.is_domain(domain) | (torch.rand(corpus.ids.shape, generator=g) < rest)


def entropy(split: str = "validation", n: int = 512, seed: int = 0, length: int = LENGTH) -> tuple[float, float]:
    """Entropy of derivations per token after ``<bos>``, in nats, and its standard error over sequences."""
    per_sequence = -sequences(split, n, seed, length).logp[:, 1:].double().mean(1)
    return float(per_sequence.mean()), float(per_sequence.std() / n**0.5)


def encode(text: str) -> Int[Tensor, "position"]:
    """``<bos>`` and the ids of space-separated words.

    Raises:
        ValueError: for a word that the language does not have.
    """
    ids = _ids()
    for word in text.split():
        if word not in ids:
            raise ValueError(f"the mini language has no word {word!r} (separate words and punctuation by spaces)")
    return torch.tensor([BOS] + [ids[w] for w in text.split()])


def decode(ids: Tensor | list[int]) -> list[str]:
    """Words of token ids (flattened)."""
    known = grammar.vocabulary()
    return [known[i] for i in torch.as_tensor(ids).flatten().tolist()]


def tokenizer() -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer: words, tags and punctuation marks, ``<bos>`` in front."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel(dict(_ids()), unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"</?[a-z]+[0-9]?>|\w+|[^\w\s]"), behavior="isolated"),
        ]
    )
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        padding_side="right", model_max_length=LENGTH, clean_up_tokenization_spaces=False,
    )  # fmt: skip
