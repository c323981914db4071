"""Write the reference of the public names, from their docstrings, as HTML.

    python docs/build_api.py [FOLDER]        (build/api)

`make docs` does that. What pdoc has to say (an `__all__` with a name that is not there, a link that
leads nowhere) is an error.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pdoc
import pdoc.doc
import pdoc.render

# The modules that users import from, in the order of the index.
MODULES = [
    "raudo",
    "raudo.cache",
    "raudo.cache.codecs",
    "raudo.cache.strategies",
    "raudo.cache.tiers",
    "raudo.compat.cachetools",
    "raudo.concurrency",
    "raudo.concurrency.limits",
    "raudo.concurrency.timeouts",
    "raudo.memory",
    "raudo.similarity",
    "raudo.similarity.index",
    "raudo.analysis",
    "raudo.export",
    "raudo.monitoring",
    "raudo.integrations.redis",
    "raudo.integrations.redis_streams",
    "raudo.integrations.kafka",
    "raudo.integrations.objectstore",
    "raudo.integrations.django",
    "raudo.integrations.scikit_learn",
    "raudo.testing",
    "raudo.types",
    "raudo.events",
    "raudo.errors",
]


OWN_MEMBERS = pdoc.doc.Class.own_members.func


def with_those_of_private_bases(documented: pdoc.doc.Class) -> list[pdoc.doc.Doc[Any]]:
    """Return a class's own members, and those of bases that have no page to be looked up on."""
    inherited = documented.inherited_members.items()
    return [
        *OWN_MEMBERS(documented),
        *(each for (module, _), members in inherited if "._" in module for each in members),
    ]


def build(folder: Path, *, whole: bool = True) -> None:
    """Write a page a module and an index; not `whole`: sooner, without sources and search."""
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            getattr(module, public)  # those that load on first use are not seen by pdoc before
    pdoc.render.configure(docformat="google", search=whole, show_source=whole, footer_text="raudo")
    of_all = mock.patch.object(pdoc.doc.Class, "own_members", property(with_those_of_private_bases))
    with of_all, warnings.catch_warnings():
        warnings.simplefilter("error")
        # It looks for the names of a NamedTuple's annotations in the module that made its __new__.
        warnings.filterwarnings("ignore", "Error parsing type annotation .*__init__")
        pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    build(target)
    print(f"{target / 'index.html'}")
