"""Lists the compiled floor: one extension per `src/raudo/_core/*.pyx`. Metadata: pyproject.toml.

RAUDO_BUILD=release|quick|debug|asan|tsan|coverage picks the flags; RAUDO_ONLY=table,memo builds only two.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

CORE = Path("src/raudo/_core")
SHARED = "raudo._core._cyutility"  # what Cython would else put into each module
MODE = os.environ.get("RAUDO_BUILD", "release")
ONLY = set(filter(None, os.environ.get("RAUDO_ONLY", "").split(",")))

# Each folder of csrc/ is linked into exactly one extension: no duplicate code or dispatch state.
C_FOLDERS = {
    "kernels": ["csrc", "csrc/distance", "csrc/panel"],
    "sketches": ["csrc/sketch"],
    "sparse": ["csrc/sparse"],
    "text": ["csrc/hash", "csrc/text"],
    "encode": ["csrc/encode"],
    "likeness": ["csrc/likeness"],
}
FLAGS = {
    "release": (["-O3", "-g0", "-fno-plt"], []),
    "quick": (["-O1", "-g0"], []),
    "debug": (["-O0", "-g3", "-UNDEBUG"], []),
    "asan": (
        ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"],
        ["-fsanitize=address,undefined"],
    ),
    "tsan": (["-O1", "-g", "-fsanitize=thread"], ["-fsanitize=thread"]),
    "coverage": (["-O0", "-g", "--coverage"], ["--coverage"]),
}
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
NO_COMPILER = """
raudo has a compiled core and no working C compiler was found ({error}).
Install one and try again:  Debian/Ubuntu `apt install gcc python3-dev`,  Fedora `dnf install gcc
python3-devel`,  macOS `xcode-select --install`.  Or install a prebuilt wheel: `pip install raudo`.
"""


class BuildExt(build_ext):
    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        try:
            super().build_extensions()
        except (CCompilerError, ExecError, PlatformError, FileNotFoundError) as error:
            cause = str(error).strip().splitlines()[-1]
            # A compiler that ran and refused has said why itself.
            ran = "exit code" in cause or "exit status" in cause
            sys.exit(cause if ran else NO_COMPILER.format(error=cause))


def compiled(name: str, sources: list[str]) -> Extension:
    compile_args, link_args = FLAGS[MODE]
    if sys.platform == "linux":  # -ldl: before glibc 2.34, `dlsym` is in a library of its own
        strip = ["-s"] if MODE == "release" else []
        link_args = [*link_args, "-Wl,--as-needed", "-lm", "-ldl", *strip]
    return Extension(
        name,
        sources,
        include_dirs=["csrc", str(CORE)],
        depends=sorted(map(str, [*Path("csrc").rglob("*.[hcd]*"), *CORE.glob("*.pxd")])),
        extra_compile_args=["-std=c11", "-fvisibility=hidden", *compile_args],
        extra_link_args=link_args,
    )


def extension(pyx: Path) -> Extension:
    sources = [str(pyx)]
    for folder in C_FOLDERS.get(pyx.stem, []):
        sources += sorted(map(str, Path(folder).glob("*.c")))
    return compiled(f"raudo._core.{pyx.stem}", sources)


modules = [extension(pyx) for pyx in sorted(CORE.glob("*.pyx")) if not ONLY or pyx.stem in ONLY]
modules.append(compiled(SHARED, [str(CORE / "_cyutility.c")]))
setup(
    ext_modules=cythonize(
        modules, compiler_directives=DIRECTIVES, nthreads=0, shared_utility_qualified_name=SHARED
    ),
    cmdclass={"build_ext": BuildExt},
)
