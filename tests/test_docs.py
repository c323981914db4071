"""Every Python example of the documentation runs: README, docs/*.md, and doctests of docstrings.

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
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raudo

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/README.md"]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.M | re.S)


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (first line number, code) of each Python block."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start(2)) + 1, textwrap.dedent(found[2])


@pytest.mark.parallel_threads(1)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


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
