"""What is built, and what a user without a compiler is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, entry_points, metadata
from pathlib import Path

import pytest

import raudo

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the sources without anything that was built."""
    built = shutil.ignore_patterns("*.so", "_core/*.c", "__pycache__", "*.egg-info")
    for name in ("src", "csrc", "building"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=built)
    for path in (tmp_path / "src/raudo/_core").glob("*.c"):
        path.unlink()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # One small extension stands for all: what is looked at is the same for each.
    given = {**os.environ, "RAUDO_ONLY": "lru", "RAUDO_BUILD": "release", **environment}
    given.pop("LD_PRELOAD", None)
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=given, capture_output=True, text=True
    )


def test_runtime_needs_four_packages_only() -> None:
    names = sorted(each.split(">")[0] for each in PROJECT["dependencies"])
    assert names == ["lz4", "numpy", "psutil", "scipy"]


def test_every_extra_that_is_promised_exists() -> None:
    promised = "cli redis kafka dask prometheus otel s3 zstd arrow test bench all"
    assert set(promised.split()) <= PROJECT["optional-dependencies"].keys()


def test_installed_metadata_agrees() -> None:
    try:
        found = metadata("raudo")
    except PackageNotFoundError:
        pytest.skip("raudo is on the path but not installed")
    assert found["Version"] == raudo.__version__
    assert found["License-Expression"] == "Apache-2.0"
    (command,) = entry_points(group="console_scripts", name="raudo")
    assert callable(command.load())


def test_missing_compiler_is_said_once_and_clearly(copy: Path) -> None:
    done = run(copy, "setup.py", "-q", "build_ext", "--inplace", CC="/nonexistent/cc")
    assert done.returncode != 0
    assert done.stderr.count("no working C compiler was found") == 1
    assert "apt install gcc python3-dev" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_build_compiles_only_what_changed(copy: Path) -> None:
    build = ("setup.py", "build_ext", "--inplace")
    first = run(copy, *build, RAUDO_ONLY="lru,lfu")
    assert first.returncode == 0, first.stderr
    os.utime(copy / "src/raudo/_core/lfu.pyx")
    second = run(copy, *build, RAUDO_ONLY="lru,lfu")
    assert "lru.c" not in second.stdout
    assert "lfu" in second.stdout


def test_the_wheel_holds_what_it_should(copy: Path) -> None:
    done = run(
        copy, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "out", "."
    )
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr
    (wheel,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    suffixes = {Path(name).suffix for name in names}
    assert not suffixes & {".c", ".pyx", ".h"}
    for wanted in ("raudo/py.typed", "raudo/_core/lru.pyi", "raudo/_core/policy.pxd"):
        assert wanted in names
    assert [name for name in names if name.startswith("raudo/_core/lru.") and ".so" in name]
    assert {name.split("/")[0] for name in names} == {
        "raudo",
        f"raudo-{raudo.__version__}.dist-info",
    }
    sources = {path.relative_to(copy / "src").as_posix() for path in copy.glob("src/raudo/**/*.py")}
    room = copy / "src/raudo/monitoring"
    sources |= {
        path.relative_to(copy / "src").as_posix()
        for path in (*room.glob("dashboard/static/*"), room / "grafana/raudo.json")
    }
    assert sources <= set(names)
