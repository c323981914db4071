"""Tries other sizes while a service runs, within bounds that you give, and takes back what hurt.

    tuner = Tuner(CacheSize(cache, 1_000, 50_000), Workers(processor, 4, 64))
    tuner.start()

Off until it is started. It makes one change at a time, so that what follows is its effect: it
measures a window, changes one knob, leaves a window out in which things settle, measures another
and compares. What did not help as its knob asks is undone, and the knob is left alone for ten
windows, then twenty, and so on. Each change is logged with its reason, and then with its effect.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._ticker import Ticker
from raudo.types import Sample

__all__ = ["Action", "Knob", "Proposal", "Tuner"]

_log = logging.getLogger("raudo.monitoring.tuner")
_HOLD_WINDOWS, _LONGEST_HOLD_WINDOWS = 10, 320
_MOST_TRIES = 3  # windows without traffic enough, after which a change that shows nothing is undone
_MOST_ACTIONS = 200


class Proposal(NamedTuple):
    """What a knob would rather be, and why."""

    value: int
    reason: str


class Knob(Protocol):
    """Something that can be turned. Called from one thread at a time."""

    name: str

    def value(self) -> int:
        """Return what is in force."""
        ...

    def turn(self, value: int) -> None:
        """Put another value into force."""
        ...

    def mark(self, time: float) -> None:
        """Begin a window at `time`, in monotonic seconds."""
        ...

    def score(self, time: float) -> float | None:
        """Return how well it went since `mark`, in the knob's own unit; None: too little to say."""
        ...

    def propose(self, score: float) -> Proposal | None:
        """Return what to try after a window that went so well; within the user's bounds."""
        ...

    def is_worth(self, before: float, after: float, old: int, new: int) -> bool:
        """Say whether a change from `old` to `new` did what it was made for."""
        ...


@dataclass(frozen=True, slots=True)
class Action:
    """A change: `before` and `after` are the scores, None as long as they are not known."""

    time_ns: int
    knob: str
    old: int
    new: int
    reason: str
    before: float
    after: float | None = None
    undone: bool = False

    def __str__(self) -> str:
        effect = ""
        if self.after is not None:
            effect = f": {self.before:.4g} -> {self.after:.4g}"
        elif self.undone:
            effect = ": no effect to be seen"
        verdict = ", undone" if self.undone else ""
        return f"{self.knob} {self.old} -> {self.new} ({self.reason}){effect}{verdict}"


class _Trial:
    """A change whose effect is not known yet."""

    def __init__(self, knob: Knob, action: Action) -> None:
        self.knob, self.action = knob, action
        self.has_settled = False
        self.n_tries = 0


class Tuner:
    """Turns knobs and sees what comes of it.

    Args:
        knobs: `CacheSize`, `Workers`, `GcThreshold` of `raudo.monitoring.knobs`, or your own.
        interval: Seconds of a window. Long enough that its traffic is like the next one's.
        clock: Where time comes from.

    A knob that raises is logged, its change undone, and left alone like one that hurt. `actions`
    are the last 200, the oldest first. Watch the tuner as a component to see its work in a monitor.
    Thread-safe; the thread of `start` is a daemon.
    """

    def __init__(self, *knobs: Knob, interval: float = 30.0, clock: Clock = SYSTEM_CLOCK) -> None:
        if not interval > 0:
            raise ValueError(f"interval is {interval!r}, wanted a number > 0")
        self._clock = clock
        self._interval = interval
        self._knobs = knobs
        self._lock = threading.Lock()
        self._first = {id(knob): knob.value() for knob in knobs}
        self._holds: dict[int, tuple[float, int]] = {}  # until when, and for how many windows
        self._trial: _Trial | None = None
        self._next = 0  # whose turn it is to propose
        self._is_marked = False
        self._actions: deque[Action] = deque(maxlen=_MOST_ACTIONS)
        self._n_actions = self._n_undone = self._n_errors = 0
        self._ticker = Ticker(self.step, interval, "raudo-tuner")

    @property
    def actions(self) -> list[Action]:
        """What was changed, the oldest first."""
        with self._lock:
            return list(self._actions)

    # --- a window -----------------------------------------------------------------------------

    def step(self) -> None:
        """End a window: judge the change under way, or make one. What a started tuner does."""
        with self._lock:
            now = self._clock.monotonic()
            if self._trial is not None:
                self._judge(self._trial, now)
            elif self._is_marked:
                self._try_one(now)
            self._is_marked = True
            for knob in self._knobs:
                try:
                    knob.mark(now)
                except Exception as error:
                    self._failed(knob, error, now)

    def _try_one(self, now: float) -> None:
        for n in range(len(self._knobs)):
            place = (self._next + n) % len(self._knobs)
            knob = self._knobs[place]
            if self._holds.get(id(knob), (0.0, 0))[0] > now:
                continue
            try:
                score = knob.score(now)
                proposal = None if score is None else knob.propose(score)
                if score is None or proposal is None or proposal.value == knob.value():
                    continue
                action = Action(
                    self._clock.time_ns(),
                    knob.name,
                    knob.value(),
                    proposal.value,
                    proposal.reason,
                    score,
                )
                self._trial = _Trial(knob, action)
                knob.turn(proposal.value)
            except Exception as error:
                self._failed(knob, error, now)
                continue
            self._next = place + 1
            self._n_actions += 1
            self._actions.append(action)
            _log.info("%s", action)
            return

    def _judge(self, trial: _Trial, now: float) -> None:
        if not trial.has_settled:
            trial.has_settled = True
            return
        knob, action = trial.knob, trial.action
        try:
            after = knob.score(now)
            if after is None:
                trial.n_tries += 1
                if trial.n_tries < _MOST_TRIES:
                    return
            is_kept = after is not None and knob.is_worth(
                action.before, after, action.old, action.new
            )
            if not is_kept:
                knob.turn(action.old)
        except Exception as error:
            self._failed(knob, error, now)
            return
        self._trial = None
        done = replace(action, after=after, undone=not is_kept)
        self._note(action, done)
        if is_kept:
            self._holds.pop(id(knob), None)
        else:
            self._hold(knob, now)

    def _failed(self, knob: Knob, error: Exception, now: float) -> None:
        """Take back what a knob that raised may have changed, and leave it alone for a while."""
        _log.warning("the knob %s failed: %r", knob.name, error)
        self._n_errors += 1
        trial = self._trial
        if trial is not None and trial.knob is knob:
            self._trial = None
            try:
                knob.turn(trial.action.old)
            except Exception as again:
                _log.error("%s could not be undone: %r", trial.action, again)
            else:
                self._note(trial.action, replace(trial.action, undone=True))
        self._hold(knob, now)

    def _hold(self, knob: Knob, now: float) -> None:
        windows = min(
            2 * self._holds.get(id(knob), (0.0, _HOLD_WINDOWS // 2))[1], _LONGEST_HOLD_WINDOWS
        )
        self._holds[id(knob)] = (now + windows * self._interval, windows)

    def _note(self, action: Action, done: Action) -> None:
        self._n_undone += done.undone
        if self._actions and self._actions[-1] is action:
            self._actions[-1] = done
        else:  # it raised while it was turned
            self._actions.append(done)
        _log.log(logging.WARNING if done.undone else logging.INFO, "%s", done)

    # --- running ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to tune, from a thread of its own; return itself."""
        self._ticker.start()
        return self

    def stop(self) -> None:
        """End it. A change whose effect is not known yet is undone; the others stay."""
        self._ticker.stop()
        with self._lock:
            trial, self._trial = self._trial, None
            self._is_marked = False
            if trial is not None:
                trial.knob.turn(trial.action.old)
                self._note(trial.action, replace(trial.action, undone=True))

    def reset(self) -> None:
        """Stop, and set every knob to what it was at first."""
        self.stop()
        with self._lock:
            for knob in self._knobs:
                knob.turn(self._first[id(knob)])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    def samples(self) -> Iterator[Sample]:
        """Yield what it does, for a monitor."""
        for name, n, text in (
            ("actions", self._n_actions, "Changes made."),
            ("undone", self._n_undone, "Changes taken back."),
            ("errors", self._n_errors, "Times that a knob failed."),
        ):
            yield Sample(f"raudo_tuner_{name}_total", "counter", n, help=text)
        for knob in self._knobs:
            labels = (("knob", knob.name),)
            yield Sample("raudo_tuner_value", "gauge", knob.value(), labels, "What is in force.")
