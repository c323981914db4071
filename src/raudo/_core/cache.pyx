# cython: binding=False
"""`Cache`: the one-level cache as a mutable mapping, over `Table`."""

cimport cython
from cpython.object cimport PyObject
from libc.math cimport isnan
from libc.stdint cimport int64_t, uint32_t, uint64_t

from raudo._core.entry cimport (
    RAUDO_UNSURE,
    Py_DECREF,
    Py_INCREF,
    raudo_find,
    raudo_graves_size,
    raudo_hash,
    raudo_quick_get,
)
from raudo._core.policy cimport (
    HAS_EXPIRY,
    MAX_ENTRIES,
    Policy,
    PythonPolicy,
    empty_policy,
    make_policy,
    raudo_expiry_node,
    raudo_hit,
    raudo_table_size,
    NO_SLOT,
    slot_t,
)
from raudo._core.recorder cimport Recorder
from raudo._core.table cimport (
    KEYS,
    NEVER,
    NO_WEIGHT_LIMIT,
    OWN_TTL,
    PAIRS,
    REMOVED,
    VALUES,
    time_of_expiry,
)
from raudo._core.watched_table cimport WatchedTable, checked_bounds
from raudo._core.whole cimport snapshot

import os
import threading
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from types import GenericAlias

import raudo._core.adaptive
import raudo._core.learned
import raudo._core.lfu
import raudo._core.lru
import raudo._core.queues
import raudo._core.tinylfu
from raudo._core.curve import check_prices
from raudo._core.loading import Load
from raudo._core.resizer import Resizer

cdef extern from "Python.h":
    Py_ssize_t PySequence_Fast_GET_SIZE(object) noexcept
    PyObject *PySequence_Fast_GET_ITEM(object, Py_ssize_t) noexcept

cdef extern from *:
    """
    #define raudo_dict(n) __Pyx_PyDict_NewPresized(n)

    static int raudo_dict_give(PyObject *dict, PyObject *key, PyObject *value) {
        const int status = PyDict_SetItem(dict, key, value);
        Py_DECREF(value);
        return status;
    }
    """
    dict raudo_dict(Py_ssize_t n)  # empty, with room for n keys
    int raudo_dict_give(dict dict, PyObject *key, PyObject *value) except -1  # steals the value

cdef object MISSING = object()

cdef int64_t ttl_to_ns(object ttl) except? -1:
    """Nanoseconds; NEVER for infinity, OWN_TTL for None."""
    if ttl is None:
        return OWN_TTL
    cdef double seconds
    try:
        seconds = ttl
    except TypeError:
        raise TypeError(f"ttl: wanted seconds as a number, got {ttl!r}") from None
    if isnan(seconds) or seconds <= 0:
        raise ValueError(f"ttl: wanted seconds > 0, got {ttl!r}")
    if seconds > 4e9:  # over a century, and infinity
        return NEVER
    return max(<int64_t>(seconds * 1e9), 1)


cdef uint64_t entries_bound(object maxsize) except? 0:
    if maxsize is None:
        return MAX_ENTRIES
    if isinstance(maxsize, bool) or not hasattr(type(maxsize), "__index__"):
        raise TypeError(f"maxsize: wanted a whole number or None, got {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize: wanted a number >= 0 or None, got {maxsize!r}")
    return min(maxsize, MAX_ENTRIES)


@cython.trashcan(True)  # a chain of caches may be long
cdef class Cache(WatchedTable):
    """Cache(maxsize, *, strategy='adaptive', ttl=None, max_weight=None, weigher=None, on_evict=None, \
timer=None, advise=False, auto_resize=None, cost_per_gb_hour=None, cost_per_miss=None, record=None, \
record_keys=False)
--

    A bounded mapping in compiled code; thread-safe, one level, any eviction strategy.

    Args:
        maxsize: Most entries it holds; None for no bound.
        strategy: A `CacheStrategy`, its name, or an object that follows `EvictionPolicy`.
        ttl: Seconds that an entry lives, unless `set` says otherwise; None for ever.
        max_weight: Bound on the sum of `weigher(key, value)`; needs `weigher`.
        weigher: Called as `weigher(key, value)`, returns a whole number >= 0 (below 2**32).
        on_evict: Called as `on_evict(key, value, reason)` after the entry is gone; reason is
            "capacity", "expired", "replaced" or "removed". What it raises is reported as
            unraisable, never passed on.
        timer: Returns monotonic seconds; the system's clock when None.
        advise: Keep what the method `advise` needs; costs 1 to 5 ns a hit, 4 to 8 a miss or set, more in
            caches of less than 1,000 entries, and up to 330 KB.
        auto_resize: `(lowest, highest)` number of entries, between which `maxsize` follows what costs
            least by the two prices. Decided by a lookup, at most once a minute; a step is at most to
            twice or half the size, and what is over it leaves at once. Implies `advise`.
        cost_per_gb_hour: What 10**9 bytes of entries cost an hour, in any currency.
        cost_per_miss: What a miss costs, in the same one.
        record: Path of a new file for what is looked up, as hashes keyed with a secret that is kept
            nowhere; `raudo cache replay` reads it. See `recorder`.
        record_keys: Record the keys themselves, as lines of text, in place of hashes.

    Every operation is O(1) on average (strategy TTL: O(log n) for a set). Expired entries are never
    returned; they are dropped a few at a time by later calls, so that none of them pauses, and until
    then `len` counts them.
    """

    def __init__(
        self,
        maxsize,
        *,
        strategy="adaptive",
        ttl=None,
        max_weight=None,
        weigher=None,
        on_evict=None,
        timer=None,
        advise=False,
        auto_resize=None,
        cost_per_gb_hour=None,
        cost_per_miss=None,
        record=None,
        record_keys=False,
    ):
        if self._policy.name is not None:
            raise RuntimeError("Cache.__init__ was called twice on the same object")
        cdef uint64_t bound = entries_bound(maxsize)
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        self.ttl_ns = max(ttl_ns, 0)
        for name, value in (("weigher", weigher), ("on_evict", on_evict), ("timer", timer)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}: wanted a callable or None, got {value!r}")
        if max_weight is not None:
            if weigher is None:
                raise ValueError("max_weight: needs a weigher, got none")
            if isinstance(max_weight, bool) or not hasattr(type(max_weight), "__index__"):
                raise TypeError(f"max_weight: wanted a whole number or None, got {max_weight!r}")
            if not 0 <= max_weight < 2**63:
                raise ValueError(f"max_weight: wanted 0 <= max_weight < 2**63, got {max_weight!r}")
        for name, value in (("advise", advise), ("record_keys", record_keys)):
            if not isinstance(value, bool):
                raise TypeError(f"{name}: wanted True or False, got {value!r}")
        self.prices = cost_per_gb_hour, cost_per_miss
        has_prices = check_prices(cost_per_gb_hour, cost_per_miss)
        bounds = checked_bounds(auto_resize, maxsize, max_weight, has_prices)
        if record is not None and not isinstance(record, (str, os.PathLike)):
            raise TypeError(f"record: wanted a path or None, got {record!r}")
        self.max_total_weight = NO_WEIGHT_LIMIT if max_weight is None else max_weight
        self._weigher = weigher
        self._listener = on_evict
        self._timer = timer
        self.t.has_timer = timer is not None
        self.loads = {}
        cdef Policy policy = make_policy(strategy)
        policy.attach(&self.t, bound)
        self._policy = policy
        self.is_soonest_first = policy.name == "ttl"
        if isinstance(policy, PythonPolicy):
            self.guard = threading.RLock()
        self.t.is_plain = (
            weigher is None and on_evict is None and self.ttl_ns == 0 and self.guard is None
        )
        self.max_entries = bound  # with the policy in place something may be stored
        if bounds is not None:
            self.resizer = Resizer(bounds, cost_per_gb_hour, cost_per_miss)
        if advise or bounds is not None:
            self.start_curve(maxsize)
        if record is not None:
            self.watch(self.curve, Recorder(record, keys=record_keys))

    # --- one key ---

    def __getitem__(self, key):
        cdef PyObject *value = self.lookup(<PyObject *>key)
        if value == NULL:
            raise KeyError(key)
        result = <object>value
        Py_DECREF(value)
        return result

    def __contains__(self, key):
        cdef PyObject *value = self.glance(<PyObject *>key)
        if value == NULL:
            return False
        Py_DECREF(value)
        return True

    def peek(self, key, default=None, /):
        """Return the value without counting or touching."""
        cdef PyObject *value = self.glance(<PyObject *>key)
        if value == NULL:
            return default
        result = <object>value
        Py_DECREF(value)
        return result

    def __setitem__(self, key, value):
        self.put(<PyObject *>key, <PyObject *>value)

    def setdefault(self, key, default=None):
        """Return the value; on a miss store `default` and return that."""
        cdef PyObject *found = self.lookup(<PyObject *>key)
        if found != NULL:
            result = <object>found
            Py_DECREF(found)
            return result
        self.store(<PyObject *>key, <PyObject *>default, OWN_TTL)
        return default

    def __delitem__(self, key):
        cdef PyObject *value = NULL
        if not self.discard(key, REMOVED, &value):
            raise KeyError(key)
        Py_DECREF(value)

    def pop(self, key, default=MISSING, /):
        """Remove the entry and return its value; on a miss the second argument, or KeyError."""
        cdef PyObject *value = NULL
        if self.discard(key, REMOVED, &value):
            result = <object>value
            Py_DECREF(value)
            return result
        if default is MISSING:
            raise KeyError(key)
        return default

    def expires_in(self, key, /):
        """Return the seconds the entry has left, None where it does not expire; KeyError on a miss."""
        cdef uint32_t hash
        raudo_hash(<PyObject *>key, &hash)
        cdef int64_t now = self.read_timer()
        cdef slot_t slot = raudo_find(&self.t, <PyObject *>key, hash)
        if slot == NO_SLOT:
            raise KeyError(key)
        if not self.t.entries[slot].meta & HAS_EXPIRY:
            return None
        cdef int64_t left = self.t.expiry.at_ns[slot] - now
        if left <= 0:
            raise KeyError(key)
        return left / 1e9

    def touch(self, key, ttl=None):
        """Give the entry a new time to live; False on a miss."""
        cdef uint32_t hash
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        raudo_hash(<PyObject *>key, &hash)
        cdef int64_t now = self.read_timer()
        cdef slot_t slot
        if ttl_ns == OWN_TTL:
            ttl_ns = self.ttl_ns
        self.enter()
        try:
            slot = raudo_find(&self.t, <PyObject *>key, hash)
            if slot == NO_SLOT or (
                self.t.entries[slot].meta & HAS_EXPIRY and now >= self.t.expiry.at_ns[slot]
            ):
                return False
            self.set_expiry(slot, time_of_expiry(now, ttl_ns))
            if raudo_hit(&self.t, slot):
                self._policy.on_hit(slot)
        finally:
            self.leave()
        return True

    def get_or_load(self, key, loader, ttl=None):
        """Return the value, or call `loader(key)` once, however many threads ask, and store its result.

        Waiters get the loader's exception too; it is not stored. A loader that asks for its own key
        loads it again rather than wait for itself.
        """
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        cdef PyObject *found = self.lookup(<PyObject *>key)
        if found != NULL:
            value = <object>found
            Py_DECREF(found)
            return value
        if not callable(loader):
            raise TypeError(f"loader: wanted a callable, got {loader!r}")
        mine = Load()
        while True:
            load = self.loads.setdefault(key, mine)
            # Left there by a key that failed to compare, or by a thread that a fork has not.
            if load is not mine and load.is_over():
                self.loads[key] = load = mine
            if load is mine or not load.may_be_awaited():
                break
            if load.wait():
                return load.result()
        try:
            try:
                # Another thread's load may have ended between the miss and here.
                found = self.glance(<PyObject *>key) if load is mine else NULL
                if found != NULL:
                    value = <object>found
                    Py_DECREF(found)
                else:
                    value = loader(key)
                    self.store(<PyObject *>key, <PyObject *>value, ttl_ns)
            finally:
                if load is mine:
                    self.loads.pop(key, None)
        except BaseException as error:
            mine.fail(error)
            raise
        mine.finish(value)
        return value

    # --- many ---

    def get_many(self, keys, /):
        """Return those found."""
        if type(keys) is not list and type(keys) is not tuple:
            keys = list(keys)
        cdef Py_ssize_t i = 0
        cdef dict found = raudo_dict(PySequence_Fast_GET_SIZE(keys))
        cdef PyObject *key
        cdef PyObject *value
        while i < PySequence_Fast_GET_SIZE(keys):  # which user code may shorten
            key = PySequence_Fast_GET_ITEM(keys, i)
            i += 1
            value = raudo_quick_get(&self.t, key)
            if value == RAUDO_UNSURE:
                Py_INCREF(key)
                try:
                    value = self.lookup(key)
                    if value != NULL:
                        raudo_dict_give(found, key, value)
                finally:
                    Py_DECREF(key)
            elif value != NULL:
                raudo_dict_give(found, key, value)
        return found

    def set_many(self, mapping, ttl=None):
        """Store the pairs of a mapping or of an iterable, all for `ttl` seconds, as `set` does."""
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        try:
            pairs = iter(mapping.items() if isinstance(mapping, Mapping) else mapping)
        except TypeError:
            raise TypeError(f"mapping: wanted a mapping or pairs, got {mapping!r}") from None
        for key, value in pairs:
            if ttl_ns == OWN_TTL:
                self.put(<PyObject *>key, <PyObject *>value)
            else:
                self.store(<PyObject *>key, <PyObject *>value, ttl_ns)

    def update(self, other=(), /, **more):
        """Store what a dict's `update` would: a mapping or pairs, and keywords."""
        if isinstance(other, Mapping):
            self.set_many(other)
        elif hasattr(other, "keys"):
            for key in other.keys():
                self[key] = other[key]
        else:
            self.set_many(other)
        if more:
            self.set_many(more)

    # --- whole ---

    def resize(self, maxsize):
        """Change the bound; what is over it is evicted in order."""
        cdef uint64_t bound = entries_bound(maxsize)
        if self._policy.name is None:
            raise RuntimeError("Cache.resize was called before Cache.__init__")
        if self.resizer is not None:
            checked_bounds(self.resizer.bounds, maxsize, None, True)
        if self.curve is not None and not self.curve.is_weighted:
            self.start_curve(maxsize)
        self.max_entries = bound
        self.trim()

    def __len__(self):
        return self.t.n_live

    def __iter__(self):
        """Iterate over the keys of this moment, next to be evicted first where the policy has an order."""
        return iter(snapshot(self, KEYS))

    def __reversed__(self):
        return reversed(snapshot(self, KEYS))

    def keys(self):
        """Return the keys, a live view; iterating is over those of that moment."""
        return KeysView(self)

    def values(self):
        """Return the values; iterating is over those of that moment and counts no hit."""
        return _SnapshotValues(self)

    def items(self):
        """Return the pairs; iterating is over those of that moment and counts no hit."""
        return _SnapshotItems(self)

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    def __repr__(self):
        return (
            f"{type(self).__name__}(maxsize={self.maxsize}, strategy={self.strategy!r}, "
            f"size={self.t.n_live})"
        )

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    @property
    def maxsize(self):
        """Most entries it holds; None where there is no bound."""
        return None if self.max_entries == MAX_ENTRIES else self.max_entries

    @property
    def max_weight(self):
        """Bound on the sum of weights; None where there is none."""
        return None if self.max_total_weight == NO_WEIGHT_LIMIT else self.max_total_weight

    @property
    def weight(self):
        """Sum of the weights of the entries; their number where there is no weigher."""
        return self.total_weight

    @property
    def ttl(self):
        """Seconds that an entry lives unless `set` says otherwise; None for ever."""
        return self.ttl_ns / 1e9 if self.ttl_ns else None

    @property
    def strategy(self):
        """Name of the policy in force."""
        return self._policy.name

    @property
    def policy(self):
        """The policy object; its own attributes tell how it is doing."""
        return (<PythonPolicy>self._policy).wrapped if isinstance(
            self._policy, PythonPolicy
        ) else self._policy

    def stats(self):
        """Return hits, misses, hit_rate, size, maxsize, weight, inserts, evictions, expirations, ..."""
        cdef uint64_t requests = self.t.n_hits + self.t.n_misses
        return {
            "hits": self.t.n_hits,
            "misses": self.t.n_misses,
            "hit_rate": self.t.n_hits / <double>requests if requests else 0.0,
            "size": self.t.n_live,
            "maxsize": self.maxsize,
            "weight": self.total_weight,
            "max_weight": self.max_weight,
            "inserts": self.n_inserts,
            "updates": self.t.n_updates,
            "evictions": self.n_evictions,
            "expirations": self.n_expirations,
            "removals": self.n_removals,
            "refused": self.n_refused,
            "strategy": self.strategy,
        }

    def reset_stats(self):
        """Set the counts of `stats` to zero; the entries stay."""
        self.t.n_stamped += <uint32_t>(self.t.n_hits + self.t.n_updates)  # the clock goes on
        self.t.n_hits = self.t.n_misses = 0
        self.n_inserts = self.t.n_updates = self.n_evictions = 0
        self.n_expirations = self.n_removals = self.n_refused = 0
        self.begin_curve_anew()

    def __sizeof__(self):
        """Bytes of the table itself, without keys and values."""
        cdef size_t size = type(self).__basicsize__
        size += raudo_table_size(&self.t) + raudo_graves_size(self.graves)
        size += self.n_weights * sizeof(uint32_t)
        size += self.t.expiry.n_allocated * (
            sizeof(int64_t) + sizeof(uint32_t) + sizeof(raudo_expiry_node)
        )
        if self.curve is not None:
            size += self.curve.__sizeof__()
        return size + self._policy.memory()

    def __reduce__(self):
        # A compiled policy travels by its name and starts afresh; a Python one travels itself.
        strategy = (
            (<PythonPolicy>self._policy).wrapped
            if isinstance(self._policy, PythonPolicy)
            else self.strategy
        )
        settings = {
            "strategy": strategy,
            "ttl": self.ttl,
            "max_weight": self.max_weight,
            "weigher": self._weigher,
            "on_evict": self._listener,
            "timer": self._timer,
            "advise": self.curve is not None,
            "auto_resize": self.resizer.bounds if self.resizer is not None else None,
            "cost_per_gb_hour": self.prices[0],
            "cost_per_miss": self.prices[1],
        }
        entries = []
        for key, value in self.items():
            try:
                left = self.expires_in(key)
            except KeyError:
                continue
            entries.append((key, value, left))
        return _revive, (type(self), self.maxsize, settings, entries, getattr(self, "__dict__", None))

    def copy(self):
        """Return a cache with the same settings, entries and expiries."""
        return self.__copy__()

    def __copy__(self):
        make, args = self.__reduce__()
        strategy = args[2]["strategy"]
        if not isinstance(strategy, str):
            import copy

            args[2]["strategy"] = copy.deepcopy(strategy)
        return make(*args)


class _SnapshotValues(ValuesView):
    """The values of the moment that iteration starts; reading them does not touch."""

    __slots__ = ()

    def __iter__(self):
        return iter(snapshot(<Cache>self._mapping, VALUES))

    def __contains__(self, value):
        return any(each is value or each == value for each in self)


class _SnapshotItems(ItemsView):
    """The pairs of the moment that iteration starts; reading them does not touch."""

    __slots__ = ()

    def __iter__(self):
        # One snapshot: between two of them a timer or a policy could run, and change the order.
        flat = snapshot(<Cache>self._mapping, PAIRS)
        return iter(list(zip(flat[::2], flat[1::2])))

    def __contains__(self, item):
        key, value = item
        found = self._mapping.peek(key, MISSING)
        return found is value or (found is not MISSING and found == value)


def _revive(kind, maxsize, settings, entries, attributes):
    """Make a cache of what `Cache.__reduce__` gave."""
    cdef Cache cache = kind.__new__(kind)
    if not isinstance(settings["strategy"], str):
        empty_policy(settings["strategy"])
    Cache.__init__(cache, maxsize, **settings)
    for key, value, left in entries:
        cache.store(<PyObject *>key, <PyObject *>value, NEVER if left is None else ttl_to_ns(left))
    cache.n_inserts = 0
    if attributes:
        cache.__dict__.update(attributes)
    return cache


MutableMapping.register(Cache)
import raudo._core.calls  # gives the class `get` and `set`
