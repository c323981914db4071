"""The page in a real browser: its numbers are the monitor's, alerts come and go, it fits."""

from __future__ import annotations

import pytest

from browser import browser, open_page, until
from raudo import Cache, SmartCache
from raudo.monitoring import AlertRule, Monitor, serve
from raudo.types import Sample

__all__ = ["browser"]

pytestmark = [pytest.mark.parallel_threads(1), pytest.mark.slow]

HOSTILE = '<img src=x onerror="document.title=1"><b>"&amp;\''


class Source:
    """Samples to be set by hand."""

    def __init__(self):
        self.level = 0.5
        self.calls = 0
        self.hot = []

    def follow_hot_keys(self):
        pass

    def hot_keys(self, n):
        return self.hot[:n]

    def samples(self):
        self.calls += 1
        labels = (("cache", HOSTILE),)
        yield Sample("level_ratio", "gauge", self.level, (("of", HOSTILE),))
        yield Sample("raudo_cache_hits_total", "counter", 3 * self.calls, labels)
        yield Sample("raudo_cache_misses_total", "counter", self.calls, labels)


@pytest.fixture(scope="module")
def watched():
    """A monitor with some of everything, and its page."""
    users = SmartCache(max_size=100, name="users")
    flat = Cache(50)
    for n in range(60):
        users.set_nowait(n, f"value {n}")
    for n in range(80):
        users.get_nowait(n)
        flat[n] = n
    source = Source()
    rules = [AlertRule("too high", "level_ratio", above=0.9)]
    monitor = Monitor(users, flat, source, interval=0.1, rules=rules, hot_keys=True)
    with serve(monitor, title="test of the page") as server:
        yield monitor, server, source
    monitor.close()
    users.close_nowait()


@pytest.fixture(scope="module")
def page(browser, watched):
    with open_page(browser, watched[1].url) as page:
        until(page, "document.documentElement.dataset.frames > 3")
        # Rates are known when the first points of the plots are.
        until(
            page,
            "document.querySelector('#caches tbody') && [...document.querySelectorAll("
            "'#caches [data-label=\"Hit rate\"] [data-value]')].every(each => each.dataset.value)",
        )
        yield page


def row(page, table, name):
    return page.locator(f"#{table} tbody tr").filter(has=page.get_by_text(name, exact=True))


def exact(locator):
    return [
        float(each.get_attribute("data-value") or "nan")
        for each in locator.locator("[data-value]").all()
    ]


def test_the_numbers_are_the_monitors(page, watched):
    metrics = watched[0].snapshot()["metrics"]
    for level in ("l1", "l2", "l3"):
        entries, most, used = exact(row(page, "caches", "users").locator(f"[data-level={level}]"))[
            :3
        ]
        labels = f'{{cache="users",level="{level}"}}'
        assert entries == metrics[f"raudo_cache_entries{labels}"]
        assert most == metrics[f"raudo_cache_max_entries{labels}"]
        assert used == metrics[f"raudo_cache_bytes{labels}"]
    # Nothing asks any more: the rate is that since the beginning.
    hit_ratio = exact(row(page, "caches", "users").locator("[data-label='Hit rate']"))
    assert hit_ratio == [metrics['raudo_cache_hit_ratio{cache="users"}']]
    assert exact(row(page, "caches", "cache").locator("[data-level=all]"))[:2] == [50, 50]
    assert exact(row(page, "caches", HOSTILE).locator("[data-label='Hit rate']")) == [
        pytest.approx(0.75)
    ]


def test_the_key_metrics_are_the_monitors(page, watched):
    monitor = watched[0]
    shown = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.tile')].map((tile) => "
        "[tile.id, [tile.querySelector('[data-value]').dataset.value, tile.dataset.state]]))"
    )
    assert len(shown) == 5
    for metric in monitor.snapshot()["key_metrics"]:
        value, state = shown[f"key-{metric['name']}"]
        assert (value == "") == (metric["value"] is None)
        assert state == {None: "idle", True: "good", False: "bad"}[metric["ok"]]
        if metric["name"] == "hit_rate":
            assert float(value) == pytest.approx(0.75, abs=0.05)


def test_an_alert_appears_and_clears(page, watched):
    source = watched[2]
    alerts = page.locator("#alerts .alert")
    page.locator("#alerts .calm").wait_for()
    source.level = 1.25
    alerts.wait_for()
    assert "too high" in alerts.inner_text()
    assert HOSTILE in alerts.inner_text()  # as text
    assert exact(alerts) == [1.25, 0.9]
    assert page.title().startswith("(1)")
    source.level = 0.5
    page.locator("#alerts .calm").wait_for()
    assert page.locator("#past-alerts li").count() >= 2


def test_hot_keys_are_named_where_they_are_asked_for(page, watched):
    rows = page.locator("#hot-keys tbody tr")
    assert rows.count() == 0
    watched[2].hot = [("<i>hot", 0.75), (("a", 1), 0.25)]
    rows.first.wait_for()
    assert "'<i>hot'" in rows.first.inner_text()
    assert exact(page.locator("#hot-keys .share")) == [0.75, 0.25]
    watched[2].hot = []
    page.locator("#hot-keys").wait_for(state="hidden")


def test_names_are_text_and_never_markup(page):
    assert page.locator("main img, main b b").count() == 0
    assert page.title().endswith("test of the page")
    assert row(page, "caches", HOSTILE).count() == 1


def test_plots_draw_and_tell_what_they_draw(page):
    plots = page.locator("figure.plot")
    assert plots.count() == 6
    canvas = page.locator("[data-plot=hit_rate] canvas")
    until(
        page,
        "document.querySelector('[data-plot=hit_rate] canvas').getAttribute('aria-label')"
        ".includes('75')",
    )
    assert canvas.get_attribute("aria-label").startswith("Hit rate, now:")
    n_colours = canvas.evaluate(
        "(c) => new Set(new Uint32Array(c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    assert n_colours > 5
    canvas.hover()
    until(
        page,
        "document.querySelector('[data-plot=memory] canvas').getAttribute('aria-label')"
        ".includes(', at ')",
    )
    page.mouse.move(0, 0)


def test_every_series_is_listed_and_found(page, watched):
    page.locator("#everything summary").click()
    page.locator("#filter").fill("LEVEL_RATIO")
    rows = page.locator("#everything tbody tr")
    until(page, "document.querySelectorAll('#everything tbody tr').length === 1")
    assert HOSTILE[:10] in rows.inner_text()
    page.locator("#everything summary").click()


def test_everything_has_a_name(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('canvas, button, select, input, [role=meter], table')]
        .filter((e) => !e.closest('[hidden]'))
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => h.tagName)")
    assert levels.count("H1") == 1


def test_it_fits_any_width_in_both_themes(browser, watched):
    with open_page(browser, watched[1].url) as page:
        for width, scheme in ((360, "light"), (850, "dark"), (1920, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            page.locator("#state[data-state=live]").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            back = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(14, 17, 22)") == (scheme == "dark")
            # Text stands out from what it stands on: 4.5 to 1 is what WCAG asks for.
            assert page.evaluate(LOWEST_CONTRAST) >= 4.5


LOWEST_CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const fronts = ["--text", "--faint", "--good", "--bad"];
  return Math.min(
    ...fronts.flatMap((front) => ["--card", "--back"].map((back) => contrast(front, back))),
    ...["--bad", "--warn"].map((front) => contrast(front, `${front}-back`)),
  );
})()"""


def test_the_theme_can_be_chosen_and_the_stream_paused(browser, watched):
    with open_page(browser, watched[1].url) as page:
        until(page, "document.documentElement.dataset.frames > 1")
        page.get_by_role("button", name="Theme").click()
        page.get_by_role("button", name="Theme: light").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
        page.reload()
        page.get_by_role("button", name="Theme: dark").wait_for()
        until(page, "document.documentElement.dataset.frames > 1")
        page.get_by_role("button", name="Pause").click()
        page.locator("#state[data-state=paused]").wait_for()
        page.get_by_role("button", name="Go on").click()
        page.locator("#state[data-state=live]").wait_for()


def test_a_service_that_goes_away_is_told_and_comes_back(browser):
    monitor = Monitor(interval=0.1)
    server = serve(monitor)
    with open_page(browser, server.url, expect=("Failed to load resource", "ERR_")) as page:
        page.locator("#state[data-state=live]").wait_for()
        server.close()
        page.locator("#state[data-state=away]").wait_for()
        with serve(monitor, port=server.port):
            page.locator("#state[data-state=live]").wait_for()


def test_a_link_with_the_token_leads_in(browser):
    token = "correct horse battery"
    server = serve(Monitor(interval=0.1), token=token)
    with server, open_page(browser, f"{server.url}?token={token}") as page:
        page.locator("#state[data-state=live]").wait_for()
        assert page.url == server.url  # the token is no longer in it


def test_a_page_of_a_stranger_sees_nothing(browser, watched):
    url = watched[1].url
    with (
        serve(Monitor(interval=0.1)) as other,
        open_page(
            browser,
            other.url,
            expect=("CORS", "Content Security Policy", "Failed to load", "asks for"),
        ) as page,
    ):
        read = page.evaluate(
            "(url) => fetch(url + 'snapshot').then((a) => a.text(), (e) => 'refused')", url
        )
        assert read == "refused"
