# cython: binding=False
"""`Resizer`: follows the size at which memory and misses cost least, without swinging."""

from raudo._core.curve import advise

INTERVAL_S = 60.0
LOOKUPS = 4096
SAVES = 0.05


class Resizer:
    """Decides, now and then, which size is the cheapest for what was looked up since the last time.

    At most once a minute and after 4,096 lookups of followed keys; to no more than twice or half the
    size at once; only where that saves a twentieth, so that noise moves nothing; and against the
    direction of the last step only where two decisions in a row ask for it, so that a workload that
    comes and goes does not drag the size along.
    """

    def __init__(self, bounds, cost_per_gb_hour, cost_per_miss):
        self.bounds = bounds
        self.cost_per_gb_hour = cost_per_gb_hour
        self.cost_per_miss = cost_per_miss
        self._last_step = self._refused_step = 0  # 1 up, -1 down

    def follow(self, curve, lookups, now_s, *, is_warm):
        """Go by this curve from now on; `lookups` is how many there were so far.

        The first period of one that is not warm says nothing, as it has yet to see some of its keys.
        """
        self._curve = curve
        self._since = curve.counts()
        self._from_lookups = lookups
        self._from_s = now_s
        self._is_warm = is_warm

    def is_due(self, now_s):
        """Say whether it is time for `wanted`."""
        return (
            self._curve.n_lookups - self._since[0] >= LOOKUPS and now_s - self._from_s >= INTERVAL_S
        )

    def wanted(self, max_size, lookups, bytes_per_entry, now_s):
        """Return the size to take now; `lookups` is how many there were in all, followed or not."""
        low, high = self.bounds
        sizes = self._curve.sizes
        advice = advise(
            self._curve,
            max_size,
            bytes_per_entry,
            lookups=lookups - self._from_lookups,
            hours=(now_s - self._from_s) / 3600,
            since=self._since,
            cost_per_gb_hour=self.cost_per_gb_hour,
            cost_per_miss=self.cost_per_miss,
            within=(max(low, sizes[0]), min(high, sizes[len(sizes) - 1])),
        )
        was_warm = self._is_warm
        self.follow(self._curve, lookups, now_s, is_warm=True)
        best, present = advice["cheapest"], advice["1x"]
        if not was_warm or best.cost_per_hour >= (1 - SAVES) * present.cost_per_hour:
            self._refused_step = 0
            return max_size
        # The way there may lead over sizes that are no better, as where a loop does not fit yet.
        target = max(low, max_size // 2, min(best.max_size, 2 * max_size))
        step = 1 if target > max_size else -1
        if step == -self._last_step and step != self._refused_step:
            self._refused_step = step
            return max_size
        self._last_step, self._refused_step = step, 0
        return target
