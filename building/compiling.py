"""How the compiled floor is compiled: flags, and what a user without a compiler is told.

The C is written for gcc and clang (vectors, attributes, built-ins), so that on Windows clang-cl
takes the place of Microsoft's compiler and works with its headers and libraries.
"""

import os
import sys

from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

MODE = os.environ.get("RAUDO_BUILD", "release")

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
NO_COMPILER = """
raudo has a compiled core and no working C compiler was found ({error}).
Install one and try again:  Debian/Ubuntu `apt install gcc python3-dev`,  Fedora `dnf install gcc
python3-devel`,  macOS `xcode-select --install`.  Or install a prebuilt wheel: `pip install raudo`.
"""


def flags() -> tuple[list[str], list[str]]:
    """Return what the compiler and the linker are given, on this system."""
    if sys.platform == "win32":  # the MSVC spelling, which clang-cl takes
        return ["/O2", "/clang:-std=c11", "/clang:-O3", "-D_CRT_SECURE_NO_WARNINGS"], []
    compile_args, link_args = FLAGS[MODE]
    if sys.platform == "linux":  # before glibc 2.34, `dlsym` is in a library of its own
        strip = ["-s"] if MODE == "release" else []
        link_args = [*link_args, *strip, "-Wl,--as-needed", "-lm", "-ldl"]
    return ["-std=c11", "-fvisibility=hidden", *compile_args], link_args


class BuildExt(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        try:
            if self.compiler.compiler_type == "msvc":
                self.compiler.initialize()
                self.compiler.cc = "clang-cl"
            super().build_extensions()
        except (CCompilerError, ExecError, PlatformError, FileNotFoundError) as error:
            cause = str(error).strip().splitlines()[-1]
            # A compiler that ran and refused has said why itself.
            ran = "exit code" in cause or "exit status" in cause
            sys.exit(cause if ran else NO_COMPILER.format(error=cause))
