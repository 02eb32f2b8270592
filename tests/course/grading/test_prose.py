"""What students and instructors type becomes a page's text: drawn where it is Markdown, never run, never loaded."""

from __future__ import annotations

import pytest

from labs_src.course.grading.prose import rendered

EVIL = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("**so** and `x<y`", "<strong>so</strong> and <code>x&lt;y</code>"),
        ("# Title", "<p><strong>Title</strong></p>"),
        ("- one\n- two", "<li>two</li>"),
        ("[the notes](https://example.org/a?b=1&c=2)", '<a href="https://example.org/a?b=1&amp;c=2">the notes</a>'),
        ("$t_{prev}$", "<msub><mi>t</mi>"),
        ("$$\\frac{a}{b}$$", "<mfrac>"),
        ("5 < 6 <b>bold</b>", "5 &lt; 6 &lt;b&gt;bold&lt;/b&gt;"),
    ],
)
def test_markdown_is_drawn(typed, made):
    assert made in rendered(typed)


@pytest.mark.parametrize(
    "typed",
    [
        EVIL,
        f"$\\text{{{EVIL}}}$",
        f"$$\\text{{</mtext></math>{EVIL}}}$$",
        "$\\href{javascript:alert(1)}{x}$",
        "$\\style{background:url(http://example.org)}{x}$",
        '$\\color{red" onclick="alert(1)}y$',
        "[x](javascript:alert(1))",
        '[x](https://example.org/"onclick="alert(1))',
        "![x](http://example.org/x.png)",
        f"```mermaid\n{EVIL}\n```",
        f'```python" onclick="alert(1)\n{EVIL}\n```',
        "<!-- x --><style>*{}</style>",
        f"\\begin{{align}}{EVIL}\\end{{align}}",
        "$\\text{</div>}$",
    ],
)
def test_nothing_runs_or_loads(typed):
    made = rendered(typed)
    for bad in (
        "<script",
        "<img",
        "<style",
        "<!--",
        "</div",
        ' onclick="',
        'href="javascript',
        'url(http://example.org)"',
    ):
        assert bad not in made
    assert " style=" not in made and made.count("<") == made.count(">")


@pytest.mark.parametrize("typed", ["$" * 3000, "[" * 3000, "> " * 3000, "*a " * 2000, "$\\frac" * 300 + "$", "\0"])
def test_odd_texts_do_not_cost_the_page(typed):
    assert rendered(typed).startswith("<")
