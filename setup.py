"""Lists the compiled floor: one extension per `src/raudo/_core/*.pyx`. Metadata: pyproject.toml.

RAUDO_BUILD=release|quick|debug|asan|tsan|coverage picks the flags (building/compiling.py);
RAUDO_ONLY=table,memo builds only two.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

sys.path.insert(0, "building")
from compiling import MODE, BuildExt, flags

CORE = Path("src/raudo/_core")
ONLY = set(filter(None, os.environ.get("RAUDO_ONLY", "").split(",")))

# Each folder of csrc/ is linked into exactly one extension: no duplicate code or dispatch state.
C_FOLDERS = {
    "kernels": ["csrc", "csrc/distance", "csrc/panel"],
    "sketches": ["csrc/sketch"],
    "sparse": ["csrc/sparse"],
    "text": ["csrc/hash", "csrc/text"],
    "encode": ["csrc/encode"],
    "cells": ["csrc/cells"],
    "likeness": ["csrc/likeness"],
    "walk": ["csrc/walk"],
}
POSIX_ONLY = {"pages", "walk"}  # memory that processes share; folders by handle
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": MODE == "debug",
    "wraparound": False,
    "initializedcheck": MODE == "debug",
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "linetrace": MODE == "coverage",
}


def extension(source: Path) -> Extension:
    sources = [str(source)]
    for folder in C_FOLDERS.get(source.stem, []):
        sources += sorted(map(str, Path(folder).glob("*.c")))
    compile_args, link_args = flags()
    return Extension(
        f"raudo._core.{source.stem}",
        sources,
        include_dirs=["csrc", str(CORE)],
        depends=sorted(map(str, [*Path("csrc").rglob("*.[hcd]*"), *CORE.glob("*.pxd")])),
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


modules = [
    extension(pyx)
    for pyx in sorted(CORE.glob("*.pyx"))
    if (not ONLY or pyx.stem in ONLY) and not (sys.platform == "win32" and pyx.stem in POSIX_ONLY)
]
# What Cython would else put into each module: memoryviews, and the types of functions.
shared = extension(CORE / "_cyutility.c")
setup(
    ext_modules=cythonize(
        [*modules, shared],
        compiler_directives=DIRECTIVES,
        nthreads=0,
        shared_utility_qualified_name=shared.name,
    ),
    cmdclass={"build_ext": BuildExt},
)
