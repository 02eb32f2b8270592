"""An executed notebook as a page that needs no network: plots drawn by one shared script, maths as MathML."""

from __future__ import annotations

import copy
import functools
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from labs_src.course import quick  # noqa: F401  (first: it makes nbconvert quick to import)
from labs_src.lab import METADATA

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
SCRIPT = "plotly.min.js"
ENVIRONMENTS = {"align*", "array", "cases", "matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix"}
TEMPLATES = Path(__file__).parent / "templates"


def page(notebook: Any, title: str) -> str:
    """A whole HTML page.

    Args:
        notebook: Executed; it is not changed.
        title: For the window.
    """
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    number = 0
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.transient = {"remove_source": True}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)  # a progress bar; its text form says as much
            if PLOTLY in data:
                number += 1
                alt = output.metadata.get(METADATA, {}).get("figure", {}).get("alt", "")
                output["data"] = {"text/html": figure_div(data[PLOTLY], alt, f"figure-{number}")}
    body, _ = _exporter().from_notebook_node(notebook)
    return template("page.html.j2").render(
        title=title, body=body, plots=number > 0, script=SCRIPT, pygments=_pygments()
    )


def figure_div(figure: dict[str, Any], alt: str, anchor: str) -> str:
    """A place for a figure, its data, and its description for who cannot see it; `plots.js` draws it when in view.

    Args:
        figure: Plotly's mimetype bundle: data, layout, perhaps frames.
        alt: One sentence.
        anchor: The element's id.
    """
    data = json.dumps(figure).replace("</", "<\\/")
    height = figure.get("layout", {}).get("height") or 380
    label = html.escape(alt, quote=True)
    return (
        f'<div class="plot" id="{anchor}" role="img" aria-label="{label}" style="min-height:{height}px"></div>'
        f'<script type="application/json" data-for="{anchor}">{data}</script>'
    )


def plotly_script() -> Path:
    """Plotly's own script, as the plotly package ships it (4.6 MB)."""
    import plotly

    return Path(plotly.__file__).parent / "package_data" / SCRIPT


def mathml(latex: str, display: bool) -> str:
    """LaTeX as MathML, which browsers draw themselves; the LaTeX, as code, where it cannot be converted.

    Args:
        latex: Without dollars.
        display: On a line of its own.
    """
    try:
        return converted(latex, display)
    except ValueError:
        return f'<code class="math">{html.escape(latex)}</code>'


def converted(latex: str, display: bool) -> str:
    """LaTeX as MathML.

    Raises:
        ValueError: Something in it cannot be converted; the message quotes the formula.
    """
    from latex2mathml.converter import convert

    for name in ("aligned", "split", "align", "equation"):  # align* is the same, without a number
        latex = latex.replace(f"\\begin{{{name}}}", r"\begin{align*}").replace(f"\\end{{{name}}}", r"\end{align*}")
    if unknown := set(re.findall(r"\\begin\{(.*?)\}", latex)) - ENVIRONMENTS:
        raise ValueError(f"not convertible: {latex!r} (environment {unknown.pop()})")
    latex = re.sub(r"\\arg(?![a-z])", lambda _: r"\operatorname{arg}", latex)
    try:
        result = convert(latex.strip(), display="block" if display else "inline")
    except Exception as error:  # the converter raises whatever its parser meets
        raise ValueError(f"not convertible: {latex!r} ({type(error).__name__})") from error
    if left := re.search(r"<m(?:i|o|text)>\s*(\\\w+|&amp;|&#x00026;)\s*<", result):
        raise ValueError(f"not convertible: {latex!r} (left over: {left[1]})")
    return result


@functools.cache
def template(name: str) -> Any:
    """One of the templates beside this file."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    escape = jinja2.select_autoescape(enabled_extensions=("j2",))
    environment = jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: "none" if value is None else f"{value:.4g}"
    return environment.get_template(name)


@functools.cache
def version() -> str:
    """Changes when a page would come out differently."""
    parts = [Path(__file__), *sorted(TEMPLATES.iterdir())]
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]


@functools.cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        """nbconvert's Markdown, with formulas already drawn."""

        def block_math(self, body: str) -> str:
            return mathml(body, display=True)

        def inline_math(self, body: str) -> str:
            return mathml(body, display=False)

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def markdown(source: str) -> str:
        return MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(_loose(source))

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_filter("markdown2html", markdown)
    return exporter


def _loose(source: str) -> str:
    r"""LaTeX's \( \) and \[ \] as dollars, which is what the Markdown parser looks for."""
    source = re.sub(r"\\\\\((.+?)\\\\\)", r"$\1$", source)
    return re.sub(r"\\\\\[(.+?)\\\\\]", r"$$\1$$", source, flags=re.DOTALL)


@functools.cache
def _pygments() -> str:
    """Colours of code, for light and dark screens."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
