"""HTML and Markdown to the text a reader sees, by selectolax (lexbor) and cmarkgfm (GitHub's
cmark).

Both are compiled, and bring about 60 and 35 MB a second. Without them files stay as they are, which
is said once; with them a page's scripts, styles and tags go, and blocks part words as they do on
screen.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from raudo.analysis.sources.tally import Tally

__all__ = ["HTML_SUFFIXES", "MARKDOWN_SUFFIXES", "to_text"]

HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
MARKDOWN_SUFFIXES = frozenset({".md", ".markdown"})
_UNSEEN = ["script", "style", "template", "noscript", "head", "svg"]
# Tags that do not part words: their text joins that around them.
_INLINE = (
    "a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark q s samp small span "
    "strike strong sub sup time tt u var wbr"
).split()

# Trees of such depth are not pages, and cost the square of it in time: 2 s at 20,000.
_DEEPEST = 2_000
_TAG = re.compile(r"<[^<>]*>")
_NAME = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.I)
# Tags that nobody needs to close.
_LONELY = frozenset(
    "area base br col dd dt embed hr img input li link meta option p source td th tr track "
    "wbr".split()
)


def _is_deep(page: str) -> bool:
    """Say whether tags are nested more deeply than those of a page."""
    if page.count("<") <= _DEEPEST:
        return False
    depth = deepest = 0
    for closes, name in _NAME.findall(page):
        if name.lower() not in _LONELY:
            depth = max(0, depth + (-1 if closes else 1))
            deepest = max(deepest, depth)
    return deepest > _DEEPEST


def to_text(content: str, suffix: str, tally: Tally) -> str:
    """Return the readable text of a page; the page itself where its library is not installed."""
    if suffix in HTML_SUFFIXES:
        convert, kind = _html(), "HTML"
    elif suffix in MARKDOWN_SUFFIXES:
        convert, kind = _markdown(), "Markdown"
    else:
        return content
    if convert is None:
        said = f"{kind} files were read with their tags: pip install 'raudo[markup]'"
        tally.note(said, passing=True)
        return content
    return convert(content)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@cache
def _html() -> Callable[[str], str] | None:
    lexbor = _import("selectolax.lexbor")
    if lexbor is None:
        return None

    def convert(page: str) -> str:
        if _is_deep(page):
            return _TAG.sub(" ", page).strip()
        # lexbor takes UTF-8, which has no lone surrogates
        tree = lexbor.LexborHTMLParser(page.encode("utf-8", "replace"))
        title = tree.css_first("title")
        name = title.text().strip() if title is not None else ""
        tree.strip_tags(_UNSEEN)
        tree.unwrap_tags(_INLINE)
        root = tree.root
        if root is None:
            return name
        root.merge_text_nodes()
        lines = (line.strip() for line in root.text(separator="\n").split("\n"))
        return "\n".join(filter(None, (name, *lines)))

    return convert


@cache
def _markdown() -> Callable[[str], str] | None:
    cmark, html = _import("cmarkgfm"), _html()
    if cmark is None or html is None:
        return None
    options = importlib.import_module("cmarkgfm.cmark").Options.CMARK_OPT_UNSAFE

    def convert(page: str) -> str:
        # Tags within Markdown are kept here ("unsafe"), since the next step takes them all away.
        plain = page.encode("utf-8", "replace").decode("utf-8")
        rendered = cmark.markdown_to_html_with_extensions(
            plain, options=options, extensions=["table", "strikethrough"]
        )
        return html(rendered)

    return convert
