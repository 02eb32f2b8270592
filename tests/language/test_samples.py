"""The page of samples shows what the models read, and says the truth about it."""

from __future__ import annotations

import subprocess
import sys

from labs_src.language import corpus, samples
from labs_src.language.passages import DOMAINS
from labs_src.language.spelling import pretty, spaced


def test_every_domain_has_whole_passages():
    page = list(samples.of_each_domain(3))
    assert [p.domain for p in page] == [d for d in DOMAINS for _ in range(3)]
    assert len({p.text for p in page}) > 0.9 * len(page)
    for passage in page:
        assert len(passage.words) >= 4 and passage.text == passage.text.strip()


def test_the_mixed_page_is_what_the_models_read():
    assert "\n".join(p.text for p in samples.sequence(3)) == corpus.sequences("validation", 4).text(3)


def test_truth_is_that_of_the_corpus():
    text = corpus.sequences("validation", 1)
    words = [word for passage in samples.sequence(0) for word in passage.words]
    assert [word.follows for word in words] == (text.depends[0, 1:] >= 0).tolist()
    roles = [corpus.role_names()[i] for i in text.role[0, 1:]]
    assert [word.truth.split(";")[0] for word in words] == roles
    assert any("from “" in word.truth for word in words)


def test_spaces():
    words = ["he", "said", ":", '"', "go", "(", "now", ")", ".", '"', "yes"]
    assert pretty(words) == 'he said: "go (now)." yes' and len(spaced(words)) == len(words)


def test_it_needs_no_torch():
    page = "from labs_src.language import samples; list(samples.of_each_domain())"
    code = f"import sys; {page}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
