"""The recipes of docs/cache.md for web services run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/cache.md"
RECIPES = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def recipe_with(word):
    (found,) = [each for each in RECIPES if word in each]
    return found


@pytest.mark.parallel_threads(1)
@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:Using `httpx`")  # newer releases want its successor
def test_fastapi_recipe_serves_and_survives_a_restart(tmp_path, monkeypatch):
    pytest.importorskip("fastapi", reason="FastAPI is not installed (extra test)")
    pytest.importorskip("httpx", reason="httpx, which FastAPI tests with, is not installed")
    from fastapi.testclient import TestClient

    monkeypatch.chdir(tmp_path)
    calls = []
    for _ in range(2):
        names = {"__name__": "recipe"}
        exec(compile(recipe_with("FastAPI"), str(PAGE), "exec"), names)
        build = names["build_report"]

        async def counted(key, build=build):
            calls.append(key)
            return await build(key)

        names["build_report"] = counted
        with TestClient(names["app"]) as client:
            for _ in range(2):
                assert client.get("/reports/7").json() == {"report": 7}
            assert names["app"].state.cache.get_stats()["hits"] >= 1
    assert calls == [("report", 7)]  # the second time from the disk


@pytest.mark.parallel_threads(1)
@pytest.mark.timeout(60)
def test_shared_tier_recipe_holds_entries(tmp_path, monkeypatch):
    pytest.importorskip("lmdb", reason="lmdb is not installed (extra lmdb)")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "recipe"}
    exec("from raudo import SmartCache\n" + recipe_with("LmdbTier"), names)
    with names["cache"] as cache:
        for n in range(1000):
            cache.set_nowait(n, str(n))
        assert cache.get_nowait(0) == "0"
        assert cache.get_stats()["l3_size"] > 0


@pytest.mark.parallel_threads(1)
@pytest.mark.timeout(60)
def test_django_recipe_caches():
    pytest.importorskip("django", reason="Django is not installed (extra test)")
    program = f"""
from django.conf import settings

{recipe_with("SmartCacheBackend")}
settings.configure(CACHES=CACHES, SECRET_KEY="not a secret, but long enough")
from django.core.cache import cache, caches

cache.set("a", [1])
assert cache.get("a") == [1] and cache.get("b", 2) == 2
assert len(caches["default"].smart) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
