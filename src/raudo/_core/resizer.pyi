from raudo._core.curve import Curve

INTERVAL_S: float
LOOKUPS: int
SAVES: float

class Resizer:
    """Decides, now and then, which size is the cheapest for what was looked up since the last time.

    At most once a minute and after 4,096 lookups of followed keys; to no more than twice or half the
    size at once; only where that saves a twentieth, so that noise moves nothing; and against the
    direction of the last step only where two decisions in a row ask for it, so that a workload that
    comes and goes does not drag the size along.
    """

    bounds: tuple[int, int]
    cost_per_gb_hour: float
    cost_per_miss: float
    def __init__(
        self, bounds: tuple[int, int], cost_per_gb_hour: float, cost_per_miss: float
    ) -> None: ...
    def follow(self, curve: Curve, lookups: int, now_s: float, *, is_warm: bool) -> None:
        """Go by this curve from now on; `lookups` is how many there were so far.

        The first period of one that is not warm says nothing, as it has yet to see some of its keys.
        """
    def is_due(self, now_s: float) -> bool:
        """Say whether it is time for `wanted`."""
    def wanted(self, max_size: int, lookups: int, bytes_per_entry: float, now_s: float) -> int:
        """Return the size to take now; `lookups` is how many there were in all, followed or not."""
