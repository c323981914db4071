"""The distributions on the page: a card for each, with what it shows in words."""

from __future__ import annotations

from raudo.analysis._page_parts import figure, language_name, safe
from raudo.analysis.distributions import Distributions, Histogram
from raudo.analysis.plots import bars, histogram, tick

__all__ = ["card", "plots_part"]

_LANGUAGES_SHOWN = 8


def plots_part(found: Distributions) -> str:
    """Return the cards of what is known of the documents as HTML."""
    cards = [
        _histogram_card(
            "Document length",
            "Words in a document. Equal areas are equally many.",
            found.words,
            "words",
        ),
        _histogram_card(
            "Nearest document",
            "Cosine of the vectors of each document and its most similar one.",
            found.nearest,
            "cosine",
        ),
        _bars_card("Group sizes", "Groups by how many documents they have.", found.group_sizes),
    ]
    if found.languages is not None:
        cards += _figure_cards(found)
    return f"<div class='plots'>{''.join(cards)}</div>"


def _figure_cards(found: Distributions) -> list[str]:
    languages = found.languages or {}
    shown = dict(list(languages.items())[:_LANGUAGES_SHOWN])
    named = {language_name(code): n for code, n in shown.items()}
    more = len(languages) - len(shown)
    about = "Documents by their language." + (f" {more} more are not shown." if more else "")
    return [
        _bars_card("Languages", about, named),
        _histogram_card(
            "Readability",
            "Flesch's reading ease of English documents: 100 is very easy, below 30 very hard.",
            found.readability,
            "points",
        ),
        _histogram_card(
            "Entropy", "Shannon's, of the characters of a document.", found.entropy, "bits"
        ),
        _histogram_card(
            "Sentences",
            "Sentences in a document. Equal areas are equally many.",
            found.sentences,
            "sentences",
        ),
        _bars_card(
            "Top terms",
            "The terms that are among the five of most weight in most documents.",
            found.top_terms or {},
        ),
    ]


def _histogram_card(title: str, about: str, found: Histogram | None, unit: str) -> str:
    spread = ""
    if found is not None:
        low, middle, high = (figure(n, tick(n)) for n in (found.p5, found.median, found.p95))
        spread = f"<p class='spread'>median {middle}, 90 % from {low} to {high}</p>"
    return card(title, about, histogram(found, unit) + spread)


def _bars_card(title: str, about: str, counts: dict[str, int]) -> str:
    shown = [f"{n:,}" for n in counts.values()]
    return card(title, about, bars(list(counts), [*counts.values()], shown, title))


def card(title: str, about: str, plot: str) -> str:
    return f"<div class='card'><h3>{title}</h3><p>{safe(about)}</p>{plot}</div>"
