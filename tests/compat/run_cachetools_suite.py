"""Run the test suite of cachetools' own source distribution against `raudo.compat.cachetools`.

    python tests/compat/run_cachetools_suite.py [--sdist FILE] [--version 8.0.*] [--original] [-v]

The source distribution is fetched with pip. Nothing in its tests is changed: before they are
imported, `sys.modules` is made to answer `import cachetools` with the stand-in. Exits with 0 where
all tests pass, with 1 where one fails or none was found, with 77 where pip cannot fetch them.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

VERSION = "8.0.*"
MODULES = ("", ".keys", ".func")


def fetch(version: str, folder: Path) -> Path:
    """Download the source distribution; RuntimeError with pip's words when it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "cachetools", "--dest", str(folder), f"cachetools=={version}"]
    # The quick way needs setuptools here; pip's own way downloads it.
    for extra in (["--no-build-isolation"], []):
        done = subprocess.run([*command, *extra], capture_output=True, text=True, timeout=50)
        found = sorted(folder.glob("cachetools-*.tar.gz"))
        if done.returncode == 0 and found:
            return found[0]
    raise RuntimeError(f"pip could not download cachetools {version}: {done.stderr.strip()}")


def redirect() -> None:
    """Make `import cachetools` mean the stand-in."""
    for suffix in MODULES:
        sys.modules[f"cachetools{suffix}"] = importlib.import_module(
            f"raudo.compat.cachetools{suffix}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sdist", type=Path, help="a source distribution that is there already")
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--original", action="store_true", help="test the installed cachetools")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        sdist = options.sdist
        if sdist is None:
            try:
                sdist = fetch(options.version, Path(folder))
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr)
                return 77  # by convention: skipped
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (tests,) = Path(folder).glob("cachetools-*/tests")
        sys.path.insert(0, str(tests.parent))
        if not options.original:
            redirect()
        suite = unittest.defaultTestLoader.discover(str(tests), top_level_dir=str(tests.parent))
        result = unittest.TextTestRunner(verbosity=2 if "-v" in rest else 1).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun > 400 else 1


if __name__ == "__main__":
    sys.exit(main())
