"""What was predicted, what became of it, and which kinds of prediction are worth a load.

Every prediction has a kind: the finder that made it and how sure it was. Kinds are judged by their
outcomes, loaded or not, so that a kind that does not pay now is noticed once it does. A prediction
came true when its key was asked for within a window of events; one that was loaded too early, so
that the cache had let go of it again, did not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

__all__ = ["Ledger"]

_MIN_PRECISION = 0.5
# Failures that a kind starts with: of some two hundred kinds a few look good by luck at first.
# Eight successes in a row make up for them, or twelve out of sixteen.
_DOUBTS = 8
_MIN_JUDGED = 32  # outcomes before a kind is known not to pay
_WEIGHT = 1 / 64  # of one outcome, once there were more than that
# A kind that is known not to pay is tried at one event in so many: looking costs time.
_PROBE_EVERY = 4
_MIN_WINDOW, _MAX_WINDOW = 64, 4096

_FORESEEN, _CHOSEN, _LOADING, _LOADED = range(4)


class _Kind:
    """How often predictions of one kind came true."""

    __slots__ = ("n", "precision")

    def __init__(self) -> None:
        self.n = 0
        self.precision = 0.0

    def judge(self, came_true: bool) -> None:
        self.n += 1
        self.precision += (came_true - self.precision) * max(_WEIGHT, 1 / (self.n + _DOUBTS))

    @property
    def pays(self) -> bool:
        return self.precision >= _MIN_PRECISION


class _Prediction:
    """A key that should be asked for, who said so, and how far its load is."""

    __slots__ = ("born", "kinds", "state")

    def __init__(self, born: int, state: int = _FORESEEN) -> None:
        self.born = born
        self.kinds: list[_Kind] = []
        self.state = state


class Ledger:
    """Judges predictions for a cache of `max_size` entries. The caller holds a lock."""

    def __init__(self, max_size: int) -> None:
        self.loads = self.useful = self.wasted = 0
        # Loaded ahead, or about to be, and not asked for so far.
        self.awaited: dict[Hashable, _Prediction] = {}
        self._max_size = max_size
        # Half of the entries of a cache come and go within this many misses, roughly.
        self._window = min(max(_MIN_WINDOW, max_size // 2), _MAX_WINDOW)
        self._max_awaited = max(2, max_size // 4)
        self._now = 0
        self._kinds: dict[Hashable, _Kind] = {}
        self._open: OrderedDict[Hashable, _Prediction] = OrderedDict()
        # Loaded, and past their window: they can still be of use as long as the cache holds them,
        # which is for about as many misses as it has entries.
        self._late: OrderedDict[Hashable, _Prediction] = OrderedDict()

    def arrive(self, key: Hashable, *, was_held: bool) -> bool:
        """Note that a key was asked for, and whether the cache had it; True if it was foreseen."""
        self._now += 1
        self._close_old()
        prediction = self._open.pop(key, None)
        if prediction is None:
            prediction = self._late.pop(key, None)
            if prediction is None:
                return False
        else:
            came_true = was_held or prediction.state != _LOADED
            for kind in prediction.kinds:
                kind.judge(came_true)
        self.awaited.pop(key, None)
        if prediction.state >= _LOADING:  # who asks meanwhile waits for the rest of the load alone
            self._count(was_held or prediction.state == _LOADING)
        return True

    def propose(
        self,
        candidates: Iterable[tuple[Any, Hashable]],
        is_held: Callable[[Any], bool],
    ) -> list[Any]:
        """Write down what may be asked for, each key with its kind; return what is worth a load."""
        chosen = []
        probes = self._now % _PROBE_EVERY == 0
        for key, name in candidates:
            kind = self._kinds.get(name)
            if kind is None:
                kind = self._kinds[name] = _Kind()
            pays = kind.pays
            if not (pays or probes or kind.n < _MIN_JUDGED):
                continue
            prediction = self._open.get(key)
            if prediction is None:
                if key in self._late or is_held(key):
                    continue
                prediction = self._open[key] = _Prediction(self._now)
            if kind not in prediction.kinds:
                prediction.kinds.append(kind)
            if pays and prediction.state == _FORESEEN and self._has_room():
                prediction.state = _CHOSEN
                self.awaited[key] = prediction
                chosen.append(key)
        return chosen

    def _has_room(self) -> bool:
        return len(self.awaited) - len(self._late) < self._max_awaited

    def begin_load(self, key: Hashable) -> bool:
        """Note that a chosen key's load begins; False where nobody waits for it any more."""
        prediction = self.awaited.get(key)
        if prediction is None or prediction.state != _CHOSEN:
            return False
        prediction.state = _LOADING
        self.loads += 1
        return True

    def end_load(self, key: Hashable) -> None:
        """Note that the cache holds the key now."""
        prediction = self.awaited.get(key)
        if prediction is not None and prediction.state == _LOADING:
            prediction.state = _LOADED

    def give_up(self, key: Hashable) -> None:
        """Note that a chosen key is not loaded after all, or that its load failed."""
        prediction = self.awaited.pop(key, None)
        if prediction is None:
            return
        if prediction.state >= _LOADING:
            self.wasted += 1
            self._late.pop(key, None)
        prediction.state = _FORESEEN

    def _close_old(self) -> None:
        while self._late:
            key, prediction = next(iter(self._late.items()))
            if prediction.born >= self._now - self._max_size - self._window:
                break
            del self._late[key], self.awaited[key]
            self.wasted += 1
        while self._open:
            key, prediction = next(iter(self._open.items()))
            if prediction.born >= self._now - self._window:
                break
            del self._open[key]
            for kind in prediction.kinds:
                kind.judge(False)
            if prediction.state >= _LOADING:
                self._late[key] = prediction
            elif prediction.state == _CHOSEN:
                del self.awaited[key]
                prediction.state = _FORESEEN

    def _count(self, was_useful: bool) -> None:
        self.useful += was_useful
        self.wasted += not was_useful
