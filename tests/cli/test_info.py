"""`raudo info` says what is there, and fails where a compiled module does not load."""

from __future__ import annotations

import argparse
import importlib
import json
from typing import Any

import pytest

import raudo
from raudo.cli import info


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    info.add_arguments(parser)
    return info.run(parser.parse_args(arguments))


def test_it_lists_versions_and_compiled_modules(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert out.startswith(f"raudo {raudo.__version__} in ")
    assert "table" in out


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["raudo"] == raudo.__version__
    assert set(found["compiled"].values()) == {"compiled"}


def test_a_module_that_does_not_load_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        if name == "raudo._core.table":
            raise ImportError("undefined symbol")
        return real(name, package)

    monkeypatch.setattr(info.importlib, "import_module", import_module)
    assert run() == 1
    assert "NOT LOADED: table: does not load: undefined symbol" in capsys.readouterr().out


def test_requirements_are_grouped_by_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "numpy>=2.0",
        'no-such-package[fast]>=5.1; extra == "redis"',
        'raudo[cli]; extra == "all"',
        'ruff>=0.9; extra == "lint"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    found = info._packages()
    assert set(found) == {"", "redis"}
    assert found["redis"] == {"no-such-package": None}
    assert found[""]["numpy"]
