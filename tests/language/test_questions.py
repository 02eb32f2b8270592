"""Questions under clutter, in the mini language and in English."""

from __future__ import annotations

from labs_src.language import corpus, questions
from labs_src.language.words import world


class Words:
    """A tokenizer that gives each word a number; " Rome" is one token."""

    def __init__(self):
        self.ids = {"<bos>": 0}

    def __call__(self, text, add_special_tokens=True):
        code = [self.ids.setdefault(word, len(self.ids)) for word in text.split()]
        return {"input_ids": [0, *code] if add_special_tokens else code}


def test_mini_asks_for_every_country_with_other_words():
    asked = questions.mini(2)
    n = len(world("capital"))
    assert len(asked.prompts) == 2 * n and asked.country.tolist() == [*range(n), *range(n)]
    assert asked.prompts.text(0) != asked.prompts.text(n)
    assert asked.prompts.answer[0] == asked.prompts.answer[n]
    assert set(asked.prompts.answer.tolist()) <= set(asked.among.tolist())
    assert corpus.decode(asked.prompts.ids[0, 4:5])[0] == next(iter(world("capital")))


def test_english_ends_in_the_question_behind_other_sentences():
    tokenizer = Words()
    asked = questions.plain_english(tokenizer, 2, sentences=2)
    words = {i: w for w, i in tokenizer.ids.items()}
    n = len(asked.among)
    assert len(asked.prompts) == 2 * n and n > 30
    for row in (0, n + 3):
        code = asked.prompts.ids[row, : int(asked.prompts.last[row]) + 1].tolist()
        text = " ".join(words[i] for i in code)
        country = text.split("The capital of ")[1].removesuffix(" is")
        assert world("capital")[country].startswith(words[int(asked.prompts.answer[row])])
        assert asked.prompts.answer[row] in asked.among and asked.prompts.wrong[row] != asked.prompts.answer[row]
        assert text.count(".") >= 2 and code[0] == 0
    assert len(set(asked.among.tolist())) == n
