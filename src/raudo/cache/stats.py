"""What a SmartCache counts, and how it tells.

Of what was stored each entry is in exactly one place, so that at any moment
`sets = entries + evictions + expirations + deletions + replaced`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from raudo._core.histogram import Histogram
from raudo.types import Distribution, Sample

if TYPE_CHECKING:
    from raudo.cache.levels import Levels
    from raudo.cache.prefetch import Prefetcher

__all__ = ["Counters", "histograms_of", "report", "samples_of"]

LEVELS = ("l1", "l2", "l3")
# What a hit in each level should take at most.
TARGETS_S = {"l1": 0.0001, "l2": 0.001, "l3": 0.01}


class Counters:
    """Plain counts, changed with the cache's lock held."""

    __slots__ = (
        "corrupt",
        "deletions",
        "demotions",
        "evictions",
        "expirations",
        "false_hits",
        "forbidden",
        "l2_hits",
        "l3_hits",
        "latency",
        "load_failures",
        "loads",
        "negative_hits",
        "packed_bytes",
        "promotions",
        "raw_bytes",
        "refreshes",
        "replaced",
        "sets",
        "shared_hits",
        "stale_served",
        "unencodable_keys",
        "unpicklable_values",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)
        self.latency = {level: Histogram() for level in (*LEVELS, "shared")}

    sets: int
    replaced: int
    deletions: int
    evictions: int
    expirations: int
    promotions: int
    demotions: int
    l2_hits: int
    l3_hits: int
    shared_hits: int
    false_hits: int  # found in L1, but its tags were invalidated or its freshness was over
    corrupt: int
    forbidden: int
    unencodable_keys: int
    unpicklable_values: int
    loads: int
    load_failures: int
    refreshes: int
    stale_served: int
    negative_hits: int
    raw_bytes: int
    packed_bytes: int


def report(levels: Levels, prefetcher: Prefetcher | None) -> dict[str, Any]:
    """Return a SmartCache's statistics."""
    with levels.lock:
        counts, in_l1 = levels.counters, levels.l1.stats()
        below = counts.l2_hits + counts.l3_hits + counts.shared_hits
        l1_hits = in_l1["hits"] - counts.false_hits
        hits, misses = l1_hits + below, in_l1["misses"] + counts.false_hits - below
        sizes, used, cold = levels.level_sizes(), levels.level_bytes(), levels.cold
        shared = levels.shared
        by_level = {
            level: {
                "size": sizes[n],
                "max_size": levels.sizes[n],
                "hits": (l1_hits, counts.l2_hits, counts.l3_hits)[n],
                "bytes": used[n],
                "mean_latency_s": counts.latency[level].mean,
                "p50_latency_s": counts.latency[level].quantile(0.5),
                "p99_latency_s": counts.latency[level].quantile(0.99),
                "target_latency_s": TARGETS_S[level],
            }
            for n, level in enumerate(LEVELS)
        }
        stats: dict[str, Any] = {
            "hits": hits,
            "misses": misses,
            "hit_rate": hits / (hits + misses) if hits + misses else 0.0,
            "l1_size": sizes[0],
            "l2_size": sizes[1],
            "l3_size": sizes[2],
            "size": sum(sizes),
            "max_size": levels.max_size,
            "levels": by_level,
            "sets": counts.sets,
            "replaced": counts.replaced,
            "deletions": counts.deletions,
            "evictions": counts.evictions,
            "expirations": counts.expirations,
            "promotions": counts.promotions,
            "demotions": counts.demotions,
            "compression_ratio": (
                counts.raw_bytes / counts.packed_bytes if counts.packed_bytes else 1.0
            ),
            "loads": counts.loads,
            "load_failures": counts.load_failures,
            "refreshes": counts.refreshes,
            "stale_served": counts.stale_served,
            "negative_hits": counts.negative_hits,
            "unencodable_keys": counts.unencodable_keys,
            "unpicklable_values": counts.unpicklable_values,
            "forbidden": counts.forbidden + (cold.forbidden if cold is not None else 0),
            "corrupt": counts.corrupt
            + (cold.corrupt + cold.tier_corrupt() if cold is not None else 0),
            "tier_failures": cold.failures if cold is not None else 0,
        }
        if shared is not None:
            stats["shared"] = {
                "hits": counts.shared_hits,
                "failures": shared.failures,
                "mean_latency_s": counts.latency["shared"].mean,
                "p50_latency_s": counts.latency["shared"].quantile(0.5),
                "p99_latency_s": counts.latency["shared"].quantile(0.99),
            }
            stats["forbidden"] += shared.forbidden
            stats["unpicklable_values"] += shared.unpicklable
            stats["corrupt"] += shared.corrupt
            stats["tier_failures"] += shared.failures
    stats["prefetch_precision"] = prefetcher.precision if prefetcher is not None else 0.0
    stats["prefetch_loads"] = prefetcher.loads if prefetcher is not None else 0
    stats["prefetch_useful"] = prefetcher.useful if prefetcher is not None else 0
    stats["prefetch_wasted"] = prefetcher.wasted if prefetcher is not None else 0
    return stats


_HELP = {
    "raudo_cache_hits_total": "Lookups answered from the cache.",
    "raudo_cache_misses_total": "Lookups not answered from the cache.",
    "raudo_cache_hit_ratio": "Hits by lookups since the cache was made.",
    "raudo_cache_entries": "Entries in a level.",
    "raudo_cache_max_entries": "Entries that a level may hold.",
    "raudo_cache_bytes": "Bytes in a level, estimated for l1.",
    "raudo_cache_evictions_total": "Entries pushed out of the cache.",
    "raudo_cache_expirations_total": "Entries whose time to live was over.",
    "raudo_cache_promotions_total": "Entries moved to a faster level.",
    "raudo_cache_demotions_total": "Entries moved to a slower level.",
    "raudo_cache_level_hits_total": "Lookups answered by a level.",
    "raudo_cache_level_latency_seconds": "Mean time of a hit in a level.",
    "raudo_cache_level_latency_quantile_seconds": "Time within which a share of hits came.",
    "raudo_cache_tier_failures_total": "Operations that a level failed in.",
    "raudo_cache_corrupt_total": "Stored records that did not check out.",
    "raudo_cache_loads_total": "Calls of a loader.",
    "raudo_cache_prefetch_loads_total": "Loads made ahead of their use.",
    "raudo_cache_prefetch_useful_total": "Loads made ahead whose value was asked for.",
    "raudo_cache_prefetch_wasted_total": "Loads made ahead whose value was not asked for in time.",
}


def samples_of(stats: dict[str, Any], name: str) -> Iterator[Sample]:
    """Yield a SmartCache's statistics as samples."""
    labels = (("cache", name),)
    for metric, key in [
        ("raudo_cache_hits_total", "hits"),
        ("raudo_cache_misses_total", "misses"),
        ("raudo_cache_evictions_total", "evictions"),
        ("raudo_cache_expirations_total", "expirations"),
        ("raudo_cache_promotions_total", "promotions"),
        ("raudo_cache_demotions_total", "demotions"),
        ("raudo_cache_tier_failures_total", "tier_failures"),
        ("raudo_cache_corrupt_total", "corrupt"),
        ("raudo_cache_loads_total", "loads"),
        ("raudo_cache_prefetch_loads_total", "prefetch_loads"),
        ("raudo_cache_prefetch_useful_total", "prefetch_useful"),
        ("raudo_cache_prefetch_wasted_total", "prefetch_wasted"),
    ]:
        yield Sample(metric, "counter", float(stats[key]), labels, _HELP[metric])
    ratio = "raudo_cache_hit_ratio"
    yield Sample(ratio, "gauge", float(stats["hit_rate"]), labels, _HELP[ratio])
    for level in LEVELS:
        of_level = stats["levels"][level]
        where = (*labels, ("level", level))
        hits, entries = "raudo_cache_level_hits_total", "raudo_cache_entries"
        most = "raudo_cache_max_entries"
        size, latency = "raudo_cache_bytes", "raudo_cache_level_latency_seconds"
        yield Sample(hits, "counter", float(of_level["hits"]), where, _HELP[hits])
        yield Sample(entries, "gauge", float(of_level["size"]), where, _HELP[entries])
        yield Sample(most, "gauge", float(of_level["max_size"]), where, _HELP[most])
        yield Sample(size, "gauge", float(of_level["bytes"]), where, _HELP[size])
        yield Sample(latency, "gauge", of_level["mean_latency_s"], where, _HELP[latency])
        quantiles = "raudo_cache_level_latency_quantile_seconds"
        for share, name_of in (("0.5", "p50_latency_s"), ("0.99", "p99_latency_s")):
            which = (*where, ("quantile", share))
            yield Sample(quantiles, "gauge", of_level[name_of], which, _HELP[quantiles])


def histograms_of(counts: Counters, name: str) -> Iterator[Distribution]:
    """Yield how long hits took, by level; those of L1 from a sample of its keys."""
    for level, times in counts.latency.items():
        if level == "shared" and not times.count:
            continue  # most caches have none
        yield Distribution(
            "raudo_cache_hit_duration_seconds",
            times,
            (("cache", name), ("level", level)),
            "Time of a hit in a level; of l1 a sample.",
        )
