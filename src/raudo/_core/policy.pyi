from collections.abc import Callable
from typing import Any, final

from typing_extensions import disjoint_base

REGISTRY: dict[str, Callable[[], Any]]

def find_unknown(find: Callable[[str], Callable[[], Any] | None]) -> None:
    """Let `find(name)` return a factory for a name that is not in the registry, or None."""

def tell_unraisable(error: BaseException, where: object, /) -> None:
    """Hand an exception that cannot reach a caller to `sys.unraisablehook`."""

@disjoint_base
class Policy:
    """Decides which entry leaves next; the base of the compiled policies."""

    @property
    def name(self) -> str: ...

@final
class PythonPolicy(Policy):
    """Lets a Python object that follows `raudo.types.EvictionPolicy` order the entries."""

    def __init__(self, wrapped: object) -> None: ...
    @property
    def wrapped(self) -> Any: ...
