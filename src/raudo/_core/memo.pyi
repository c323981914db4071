from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

from typing_extensions import disjoint_base

from raudo._core.cache import Cache

class CacheInfo(NamedTuple):
    hits: int
    misses: int
    maxsize: int | None
    currsize: int

@disjoint_base
class Memo:
    """A callable that remembers: the compiled body of `raudo.lru_cache` and `raudo.cached`.

    Keys are those of `functools.lru_cache`: one int or str stands for itself, everything else is a
    tuple of all arguments (with `typed`, and of their types), or it is what `key` returns. A hit makes
    no tuple. Binds like a function when it is a class attribute. Exceptions are not remembered.
    Thread-safe; without `once`, two threads may compute the same result at the same time.
    """

    __wrapped__: Callable[..., Any]
    @property
    def cache(self) -> Cache[Any, Any] | None: ...
    def __new__(
        cls,
        fn: Callable[..., Any],
        cache: Cache[Any, Any] | None,
        *,
        typed: bool = False,
        key: Callable[..., Any] | None = None,
        sorts_keywords: bool = False,
        ignored: tuple[Iterable[int], Iterable[str]] = ((), ()),
        n_skipped: int = 0,
        once: Callable[..., Any] | None = None,
        flights: Any = None,
        is_async: bool = False,
    ) -> Self:
        """Remember `fn` in `cache`; None remembers nothing and counts misses.

        Args:
            typed: Keep arguments of different types apart.
            key: Makes the key from the arguments.
            sorts_keywords: Let keywords in another order make the same key.
            ignored: Places (below 64) and names of arguments that are no part of the key.
            n_skipped: So many arguments in front are no part of it either.
            once: Called on a miss as `once(key, *args, **kwargs)`, and stores by itself.
            flights: Is told which loads under way are out of date: `supersede`, `supersede_all`.
            is_async: Hand a hit out as an awaitable.
        """
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...
    def __copy__(self) -> Memo: ...
    def __deepcopy__(self, memo: object) -> Memo: ...
    def cache_info(self) -> CacheInfo: ...
    def cache_clear(self) -> None:
        """Forget all results and counts, also of calls under way."""
    def cache_key(self, *args: Any, **kwargs: Any) -> Any:
        """Return the key under which the result of such a call is kept in `cache`."""
    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of such a call, also of one under way; say whether there was one."""
