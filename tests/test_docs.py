"""Every Python example of the documentation runs: README, docs/*.md, doctests of docstrings, and
examples/; links lead somewhere, and the reference can be written.

The blocks of one page share one namespace, in order, in an empty folder; a block may use top-level
`await`. A block that is not to be run is not marked `python`.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raudo
from raudo._core.policy import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
    ROOT / "examples/README.md",
    ROOT / "csrc/README.md",
]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.M | re.S)


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (first line number, code) of each Python block."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start(2)) + 1, textwrap.dedent(found[2])


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget the policies that an example registers."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.parallel_threads(1)
@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__example__"}
    with asyncio.Runner() as runner:
        for line, code in blocks(page):
            compiled = compile(
                "\n" * (line - 1) + code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            )
            if compiled.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(compiled, names))
            else:
                exec(compiled, names)


def modules() -> list[str]:
    return sorted(each.name for each in pkgutil.walk_packages(raudo.__path__, "raudo."))


@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("name", modules())
def test_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.endswith("__main__"):
        pytest.skip("running it is its only use")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if "raudo" in str(error) and not isinstance(error, raudo.errors.MissingExtra):
            raise
        pytest.skip(f"an optional package is missing: {error}")
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(
        module, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert failed == 0


def anchors(page: Path) -> set[str]:
    """Return what links to the page's headings are called, as GitHub does it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {link}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name} links to {link}"


def test_the_spanish_readme_has_the_same_examples() -> None:
    """Prose and comments are translated; commands and code are those of the README."""
    ours, theirs = (
        re.findall(r"^```(?:sh|python)\n.*?^```", (ROOT / name).read_text("utf-8"), re.M | re.S)
        for name in ("README.md", "README.es.md")
    )
    uncommented, translated = (
        [re.sub(r" *#.*", "", block) for block in blocks] for blocks in (ours, theirs)
    )
    assert translated[:2] == uncommented[:2]
    assert set(translated) <= set(uncommented)


@pytest.mark.parallel_threads(1)
@pytest.mark.usefixtures("registry")
def test_the_examples_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that need a server of their own are run by tests/integrations."""
    folder = ROOT / "examples"
    runpy.run_path(str(folder / "policy_most_recent.py"), run_name="__main__")
    analyse = runpy.run_path(str(folder / "analyse_folder.py"))["main"]
    analyse(str(ROOT / "docs"), tmp_path / "out")
    said = capsys.readouterr().out
    assert "most-recent" in said
    assert "documents, " in said
    assert (tmp_path / "out/report.html").exists()


async def test_the_example_service_answers() -> None:
    from httpx import ASGITransport, AsyncClient

    names = runpy.run_path(str(ROOT / "examples/service_fastapi.py"))
    app = names["app"]
    async with (
        names["lifespan"](app),
        AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        assert (await client.get("/reports/8")).json() == {"number": 8, "pages": 1}
        assert (await client.get("/reports/8")).json() == {"number": 8, "pages": 1}
        assert (await client.delete("/reports/8")).json() == {"was there": True}
        page = await client.get("/live/metrics")
        assert 'raudo_cache_hits_total{cache="reports"} 1' in page.text


def test_every_example_is_listed() -> None:
    listed = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    for program in (ROOT / "examples").glob("*.py"):
        assert f"({program.name})" in listed, f"examples/README.md does not list {program.name}"


@pytest.mark.slow
@pytest.mark.parallel_threads(1)
def test_the_reference_is_written_without_a_warning(tmp_path: Path) -> None:
    build = runpy.run_path(str(ROOT / "docs/build_api.py"))
    build["build"](tmp_path, whole=False)
    written = {
        path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")
    }
    assert {name.replace(".", "/") for name in build["MODULES"]} <= written
    page = (tmp_path / "raudo/cache.html").read_text(encoding="utf-8")
    assert 'id="SmartCache.get"' in page  # which a compiled base has
    assert 'id="Cache.clear"' in page


def test_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)[:2]
    assert "pip install '.[cli]'" in commands[0]
    assert "raudo analyze" in commands[0]
    assert commands[1].strip() == "pip install -e '.[test]' && python -m pytest"
    assert all(len(command.strip().splitlines()) == 1 for command in commands)


def test_every_room_has_a_page_and_the_index_lists_it() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "README.md":
            assert f"({page.name})" in index, f"docs/README.md does not list {page.name}"
