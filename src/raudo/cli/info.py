"""`raudo info`: what is installed and what this machine offers, to paste into a report."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import re
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

__all__ = ["HELP", "add_arguments", "gather", "run"]

HELP = "show versions, compiled modules, optional packages and the machine"

# `redis[hiredis]>=5.1; extra == "redis"`, as the metadata of an installed package spells it
_REQUIREMENT = re.compile(r"""([A-Za-z0-9._-]+)[^;]*(?:;.*extra == ["']([a-z0-9]+)["'])?""")
_NOT_OPTIONAL_FOR_USERS = {"all", "bench", "test", "lint"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _compiled() -> dict[str, str]:
    """Load every module of the compiled floor; one that does not load is named with its error."""
    import raudo._core

    found = {}
    for name in sorted(each.name for each in pkgutil.iter_modules(raudo._core.__path__)):
        try:
            file = importlib.import_module(f"raudo._core.{name}").__file__ or ""
        except ImportError as error:
            found[name] = f"does not load: {error}"
        else:
            found[name] = "compiled" if file.endswith(tuple(EXTENSION_SUFFIXES)) else "not compiled"
    return found


def _packages() -> dict[str, dict[str, str | None]]:
    """Return the installed versions of the dependencies, by extra ("" for what is always there)."""
    from importlib import metadata  # here, as every command loads this module

    try:
        wanted = metadata.requires("raudo") or []
    except metadata.PackageNotFoundError:  # a source tree that is merely on the path
        return {}
    found: dict[str, dict[str, str | None]] = {}
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None or match[1] == "raudo" or match[2] in _NOT_OPTIONAL_FOR_USERS:
            continue
        try:
            installed: str | None = metadata.version(match[1])
        except metadata.PackageNotFoundError:
            installed = None
        found.setdefault(match[2] or "", {})[match[1]] = installed
    return found


def gather() -> dict[str, Any]:
    """Return everything that the command shows, ready for JSON."""
    import raudo
    from raudo.cli._bench_timing import describe_machine

    return {
        "raudo": raudo.__version__,
        "location": raudo.__path__[0],
        "machine": describe_machine(),
        "compiled": _compiled(),
        "kernels": _kernels(),
        "packages": _packages(),
    }


def _kernels() -> str | None:
    """Return the instruction set that the distance kernels chose on this CPU."""
    try:
        kernels = importlib.import_module("raudo._core.kernels")
    except ImportError:
        return None
    return str(kernels.isa())


def run(args: argparse.Namespace) -> int:
    """Print it; 1 if a compiled module does not load."""
    found = gather()
    broken = [name for name, state in found["compiled"].items() if state != "compiled"]
    if args.json:
        print(json.dumps(found, indent=2))
        return int(bool(broken))
    machine = found["machine"]
    print(f"raudo {found['raudo']} in {found['location']}")
    print(f"{machine['python']}, {machine['system']}")
    print(f"{machine['cpu']}, {machine['cpus']} CPUs; distance kernels: {found['kernels']}")
    print(f"compiled: {', '.join(name for name in found['compiled'] if name not in broken)}")
    for name in broken:
        print(f"NOT LOADED: {name}: {found['compiled'][name]}")
    for extra, packages in found["packages"].items():
        shown = ", ".join(f"{name} {state or 'absent'}" for name, state in packages.items())
        print(f"{f'[{extra}]' if extra else 'needs'}: {shown}")
    return int(bool(broken))
