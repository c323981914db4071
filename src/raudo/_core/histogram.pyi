from typing import Any, final

@final
class Histogram:
    """Counts durations in log-linear buckets. Thread-safe: each method holds the GIL throughout.

    >>> times = Histogram()
    >>> for ms in range(1, 101):
    ...     times.record(ms / 1000)
    >>> times.count, round(times.quantile(0.5), 2), round(times.quantile(0.99), 1)
    (100, 0.05, 0.1)
    """

    def __init__(self) -> None: ...
    def record(self, seconds: float) -> None:
        """Count a duration in seconds."""

    def record_ns(self, ns: int) -> None:
        """Count a duration in whole nanoseconds; a negative one as 0."""

    @property
    def count(self) -> int:
        """How many durations."""

    @property
    def total(self) -> float:
        """Their sum in seconds."""

    @property
    def mean(self) -> float:
        """Their mean in seconds; 0 where there are none."""

    @property
    def max(self) -> float:
        """The longest, in seconds."""

    def quantile(self, share: float) -> float:
        """Return the seconds that `share` of the durations stayed within, at most 6.25 % too long.

        0.0 where there are none. A share outside of `[0, 1]` is a ValueError.
        """

    def merge(self, other: Histogram) -> None:
        """Add what another one counted to this."""

    def copy(self) -> Histogram:
        """Return one that has counted the same."""

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after `earlier`, a copy of this one, was taken.

        All of it where this one counts less, as it was cleared or replaced meanwhile. The longest is known to
        the bucket.
        """

    def below_powers(self, first: int, last: int) -> list[int]:
        """Return how many were shorter than `2**k` ns for each k in `[first, last]`.

        Exact: a power of two is where a bucket ends. Between 5 and 42.
        """

    def clear(self) -> None:
        """Forget everything."""

    def __reduce__(self) -> tuple[Any, ...]: ...
