"""The page of an analysis in a real browser: figures, map, groups, hostile texts, phones."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import browser, open_page
from raudo.analysis import AnalysisReport, DocumentAnalyzer
from raudo.analysis.page import render

__all__ = ["browser"]

HOSTILE = (
    "</script><script>window.broken = 1</script> same words \"in' both",
    "<img src=x onerror='window.broken = 1'> \u202egnp.exe \x00 <!-- same words",
    "' onload='window.broken = 1' data-x=\"</style></title><svg/onload=window.broken=1> same",
    "\ud800 {0} %s & &amp; &#60;b> ]]> \u2028 same words here and there",
)


def corpus() -> dict[str, str]:
    chance = random.Random(3)
    topics = (
        "cache eviction memory policy threads".split(),
        "garden tomato soil water seed".split(),
        "guitar chord melody rhythm song".split(),
    )
    documents = {
        f"/data/docs/{i:04d}.txt": " ".join(chance.choices(topics[i % 3], k=25)) for i in range(150)
    }
    longer = " ".join(f"word{i}" for i in range(30))
    documents["/data/docs/first.txt"] = longer
    documents["/data/docs/near.txt"] = longer.replace("word7 ", "other7 ")
    for text in HOSTILE:
        documents["/data/docs/" + text] = text
        documents["/data/docs/" + text + " 2"] = text
    return documents


@pytest.fixture(scope="module")
def report() -> AnalysisReport:
    documents = [{"id": name, "text": text, "path": name} for name, text in corpus().items()]
    return DocumentAnalyzer(figures=True).analyze(documents, threshold=0.8)


@pytest.fixture(scope="module")
def url(report: AnalysisReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(report.to_html("A <b>title</b> & more"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with open_page(browser, url) as opened:
        yield opened
        assert opened.evaluate("window.broken") is None


def test_figures_are_those_of_the_report(page: Any, report: AnalysisReport) -> None:
    summary = report.summary()

    def tile(name: str) -> float:
        return float(page.locator(f"#tile-{name} data").get_attribute("value"))

    assert tile("documents") == summary["documents"] == len(report)
    assert tile("groups") == summary["groups"]
    assert tile("duplicates") == summary["duplicates"]
    assert tile("words") == summary["words"]
    assert tile("skipped") == 0
    assert tile("seconds") == pytest.approx(summary["seconds"])
    assert tile("memory") == summary["peak_bytes"] > 0
    rows = page.locator("#stages ~ div table tbody tr")
    assert rows.count() == len(summary["stages"])
    for i, stage in enumerate(summary["stages"]):
        cells = [*map(float, rows.nth(i).locator("data").evaluate_all("e => e.map(d => d.value)"))]
        assert cells[:2] == [stage["seconds"], stage["items"]]
        assert cells[2:4] == [stage["cache_hits"], stage["cache_misses"]]


def test_map_shows_each_document_under_the_pointer(page: Any, report: AnalysisReport) -> None:
    dots = page.locator("#map .dot")
    assert report.sample is not None
    assert dots.count() == len(report.sample.numbers)
    first = dots.first
    first.scroll_into_view_if_needed()
    first.dispatch_event("pointerover")
    assert page.locator(".tip b").inner_text() == "0000.txt"
    assert page.locator(".tip i").inner_text() == "25 words, undetermined, group 0"
    assert report.texts is not None
    assert page.locator(".tip span").inner_text().removesuffix(" …") in report.texts[0]


def test_legend_hides_and_shows_a_cluster(page: Any) -> None:
    box = page.locator(".legend input").first
    in_cluster = page.locator("#map .c0.dot")
    assert in_cluster.first.is_visible()
    box.uncheck()
    assert page.locator("#map .c0.dot:not(.away)").count() == 0
    box.check()
    assert page.locator("#map .c0.away").count() == 0
    assert "cache" in page.locator(".legend:visible").inner_text()


def test_map_is_coloured_by_what_the_reader_chooses(page: Any, report: AnalysisReport) -> None:
    first = page.locator("#map .dot").first

    def colour() -> str:
        return str(first.evaluate("e => getComputedStyle(e).fill"))

    by_cluster, legend = colour(), page.locator(".legend:visible")
    page.get_by_role("radio", name="Duplicates").check()
    assert colour() != by_cluster
    labels = ["in no group", "first of a group", "its near-duplicates"]
    assert legend.locator("span").all_inner_texts() == labels
    shown = [*map(int, legend.locator("output").all_inner_texts())]
    assert report.sample is not None
    alone = int((report.group_of[report.sample.numbers] < 0).sum())
    assert shown[0] == alone
    assert sum(shown) == len(report.sample.numbers)
    legend.locator("input").last.uncheck()
    assert page.locator("#map .dot:not(.away)").count() == sum(shown[:2]) < sum(shown)
    page.get_by_role("radio", name="Language").check()
    assert page.locator("#map .dot.away").count() == 0
    assert "undetermined" in legend.inner_text()


def test_distributions_of_the_figures_are_shown(page: Any, report: AnalysisReport) -> None:
    cards = page.locator(".plots .card")
    titles = cards.locator("h3").all_inner_texts()
    assert titles[:3] == ["Document length", "Nearest document", "Group sizes"]
    assert titles[3:8] == ["Languages", "Readability", "Entropy", "Sentences", "Top terms"]
    counts = report.summary()["distributions"]["entropy"]["counts"]
    entropy = cards.filter(has_text="Entropy")
    assert entropy.locator(".bar").count() == sum(map(bool, counts))
    assert "median" in entropy.get_by_role("img").get_attribute("aria-label")


def test_every_figure_of_the_page_is_told_to_machines(report: AnalysisReport) -> None:
    found = render(report, "title")
    told = json.dumps([report.summary(), found.figures, *report.group_rows()], default=str)
    numbers = {float(each) for each in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", told)}
    shown = {round(float(v), 6) for v in re.findall(r"<data value='([^']+)'", found.html)}
    assert len(shown) > 20
    assert shown <= numbers
    clusters = found.figures["map"]["cluster"]
    outputs = [*map(int, re.findall(r"<output>(\d+)</output>", found.html))]
    assert outputs[: len(clusters)] == [each["documents"] for each in clusters]
    largest = found.figures["groups"][0]
    assert largest["documents"] == max(map(len, report.groups))


def test_groups_open_and_mark_what_differs(page: Any) -> None:
    group = page.locator("#groups details", has_text="first.txt").first
    assert not group.locator("table").is_visible()
    group.locator("summary").press("Enter")
    assert group.locator("table").is_visible()
    assert group.locator("ins").inner_text() == "other7"
    assert group.locator("del").inner_text() == "word7"


def test_search_leaves_the_groups_that_match(page: Any) -> None:
    page.get_by_role("searchbox").fill("NEAR.txt")
    assert page.locator("#groups > details:visible").count() == 1
    assert page.locator("#found").inner_text() == "1 group"
    page.get_by_role("searchbox").fill("")
    assert page.locator("#groups > details:visible").count() > 1


def test_hostile_texts_are_shown_and_do_nothing(page: Any, report: AnalysisReport) -> None:
    assert page.title() == "A <b>title</b> & more"
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, link, object").count() == 0
    shown = page.locator("#groups").evaluate("e => e.textContent")
    for text in HOSTILE:
        plain = text.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
        assert plain.replace("\ud800", "\\ud800") in shown


def test_a_script_that_came_in_by_some_hole_would_not_run(browser: Any, url: str) -> None:
    with open_page(browser, url, expect=("Content Security Policy",)) as page:
        page.evaluate(
            "() => { const s = document.createElement('script');"
            "s.textContent = 'window.broken = 1'; document.body.append(s); }"
        )
        assert page.evaluate("window.broken") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_page_fits_and_can_be_read(browser: Any, url: str, width: int, scheme: str) -> None:
    with open_page(
        browser, url, viewport={"width": width, "height": 800}, color_scheme=scheme
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) >= 4.5
        names = page.locator("svg[role=img], input, [role=region], nav").evaluate_all(NAMES)
        assert all(names)


NAMES = """all => all.map(e => e.getAttribute("aria-label") || e.labels?.[0]?.innerText || "")"""

# The least contrast of a text and the ground that it stands on (WCAG 2).
CONTRAST = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = 21;
  for (const e of document.querySelectorAll("main *")) {
    const says = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (e.closest("svg") || !says) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
}"""


def test_page_works_without_network(browser: Any, url: str) -> None:
    with open_page(browser, url, offline=True) as page:
        assert page.locator("#map .dot").count() > 100


def test_texts_are_read_again_where_they_were_not_kept(tmp_path: Path) -> None:
    documents = corpus()
    kept = DocumentAnalyzer().analyze(documents, threshold=0.8)
    found = DocumentAnalyzer(keep_texts=False).analyze(documents, threshold=0.8)
    assert "<ins>other7</ins>" in render(found, "again", documents).html
    assert "<ins>other7</ins>" in kept.to_html()
    assert "<ins>other7</ins>" not in found.to_html()
    changed = {name: text for name, text in documents.items() if "first" not in name}
    assert "<ins>other7</ins>" not in found.to_html("moved", changed)


def test_a_large_report_is_cut() -> None:
    documents = [f"{i // 2} {i // 2} x{i // 2} y{i // 2}" for i in range(3000)]
    page = DocumentAnalyzer().analyze(documents, k=1).to_html()
    assert "1,200 smaller groups are not shown" in page
    assert "2,000 of 3,000 documents" in page
    assert page.count("<circle class='dot") <= 2000
    assert len(page) < 2_000_000
