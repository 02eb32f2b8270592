"""Markdown that somebody else wrote, as HTML for a page: formulas drawn, nothing that could run or load anything.

Raw HTML is text, images are their descriptions. What comes out is looked at once more, tag by tag, because LaTeX can
hold HTML too and its converter does not escape it; where anything is odd, the Markdown is shown as it was typed.
"""

from __future__ import annotations

import html
import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

from labs_src.course.pages import mathml

FORMULA = 400
"""Characters of a formula above which it is shown as it was typed."""
TEXT = "p br em strong del code pre ul ol li blockquote hr table thead tbody tr th td a"
MATH = (
    "math mrow mi mo mn mtext mspace mstyle mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd "
    "mpadded mphantom menclose mmultiscripts mprescripts none"
)
TAGS = frozenset(f"{TEXT} {MATH}".split())
EMPTY = frozenset({"br", "hr", "mspace", "mprescripts", "none"})
SHAPE = (
    "xmlns display stretchy mathvariant fence form separator columnalign columnspacing rowspacing linethickness accent "
    "accentunder movablelimits largeop symmetric minsize maxsize lspace rspace width height depth voffset displaystyle "
    "scriptlevel notation"
)
ATTRIBUTES = {
    "a": {"href": r"https?://.*"},
    "code": {"class": r"math|language-[\w+#-]*"},
    "th": {"style": r"text-align: ?\w+"},
    "td": {"style": r"text-align: ?\w+"},
    **dict.fromkeys(MATH.split(), dict.fromkeys(SHAPE.split(), r"[\w./:% -]*")),
}


def rendered(text: str) -> Any:
    """Markdown as HTML that a template takes as it is.

    Args:
        text: As typed.
    """
    from markupsafe import Markup

    try:
        made = _markdown().render(text).strip()
    except Exception:  # a parser that stumbles over what a student wrote must not cost the page
        made = ""
    return Markup(made if made and _sound(made) else f'<p class="typed">{html.escape(text)}</p>')


def _sound(made: str) -> bool:
    """Whether there are only tags and attributes that are expected, each of them closed."""
    checker = _Tags()
    checker.feed(made)
    checker.close()
    return checker.sound and not checker.open


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sound, self.open = True, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = ATTRIBUTES.get(tag, {})
        good = all(name in known and re.fullmatch(known[name], value or "") for name, value in attrs)
        self.sound &= tag in TAGS and good
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            self.sound &= bool(self.open) and self.open.pop() == tag

    def _odd(self, *_: object) -> None:
        self.sound = False

    handle_comment = handle_decl = handle_pi = unknown_decl = _odd


def _formula(latex: str, display: bool) -> str:
    made = mathml(latex, display) if len(latex) <= FORMULA else ""
    return made if made and _sound(made) else f'<code class="math">{html.escape(latex)}</code>'


@cache
def _markdown() -> Any:
    from labs_src.course import quick  # noqa: F401  (first: it makes nbconvert quick to import)

    from mistune import HTMLRenderer  # isort: skip
    from mistune.plugins import import_plugin  # isort: skip
    from nbconvert.filters.markdown_mistune import MarkdownWithMath  # isort: skip

    class Renderer(HTMLRenderer):
        """Raw HTML escaped, headings as bold lines, images as their descriptions, formulas as MathML."""

        def __init__(self) -> None:
            super().__init__(escape=True)

        def heading(self, text: str, level: int, **_: Any) -> str:
            return f"<p><strong>{text}</strong></p>\n"

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return f"[{text or 'image'}]"

        def link(self, text: str, url: str, title: str | None = None) -> str:
            return f'<a href="{html.escape(url)}">{text}</a>' if re.match(r"https?://", url) else text

        def block_math(self, body: str) -> str:
            return _formula(body, display=True)

        def inline_math(self, body: str) -> str:
            return _formula(body, display=False)

        def latex_environment(self, name: str, body: str) -> str:
            return _formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    return MarkdownWithMath(Renderer(), plugins=[import_plugin(name) for name in ("strikethrough", "table")])
