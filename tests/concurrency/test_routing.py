from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import pytest

from concurrency import tasks
from raudo.concurrency._workers.travel import arguments_pickle, why_it_stays
from raudo.concurrency.routing import Router


def observe(router: Router, fn: Any, wall_s: float, cpu_s: float, n: int = 8, **more: Any) -> None:
    for _ in range(n):
        router.observe(fn, "thread", wall_s, cpu_s, **{"result": 1, **more})


def test_an_unknown_function_gets_a_thread() -> None:
    assert Router(n_cpus=2).choose(tasks.burn, (1,)) == "thread"


def test_tiny_functions_run_inline() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.square, 2e-6, 2e-6)
    assert router.choose(tasks.square, (1,)) == "inline"


def test_functions_that_wait_get_threads() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.short_sleep, 5e-3, 1e-4)
    assert router.choose(tasks.short_sleep, (1,)) == "thread"
    assert "I/O" in router.explain()["short_sleep"]["why"]


def test_functions_that_compute_get_processes() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 5e-3, 5e-3)
    assert router.choose(tasks.burn, (1,)) == "process"
    assert Router(n_cpus=1).choose(tasks.burn, (1,)) == "thread"


def test_waiting_for_the_interpreter_lock_does_not_look_like_io() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 10e-3, 5e-3, n_running=2)
    assert router.choose(tasks.burn, (1,)) == "process"


def test_one_quiet_call_among_loaded_ones_is_enough() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 50e-3, 5e-3)
    observe(router, tasks.burn, 5.5e-3, 5e-3, n=1)
    assert router.choose(tasks.burn, (1,)) == "process"


def test_functions_that_release_the_lock_stay_on_threads() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 10e-3, 5e-3, n_running=4, busy_s=19e-3)
    assert router.choose(tasks.burn, (1,)) == "thread"
    assert "1.9 CPUs work" in router.explain()["burn"]["why"]
    observe(router, tasks.burn, 20e-3, 5e-3, n=32, n_running=4, busy_s=20e-3)
    assert router.choose(tasks.burn, (1,)) == "process"


def test_short_computations_run_inline_until_one_waits() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 100e-6, 98e-6, n_running=4, busy_s=100e-6)
    assert router.choose(tasks.burn, (1,)) == "inline"
    router.observe(tasks.burn, "inline", 5e-3, 98e-6)
    assert router.choose(tasks.burn, (1,)) == "thread"


def test_nothing_moves_before_it_was_tried_on_threads() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 5e-3, 5e-3, n=7)
    assert router.choose(tasks.burn, (1,)) == "thread"
    observe(router, tasks.burn, 5e-3, 5e-3, n=1)
    assert router.choose(tasks.burn, (1,)) == "process"
    # It never ran beside others on threads; now that it may, it is looked at there.
    router.note_end(tasks.burn, "process", 5e-3, 2)
    chosen = [router.choose(tasks.burn, (1,)) for _ in range(10)]
    assert chosen == ["thread"] * 8 + ["process"] * 2


@pytest.mark.parametrize(("process_s", "kind"), [(2e-3, "process"), (4.5e-3, "thread")])
def test_the_measured_pace_overrules_the_estimate(process_s: float, kind: str) -> None:
    now = 100.0
    router = Router(n_cpus=2, clock=lambda: now)
    for _ in range(64):
        now += 5e-3
        router.observe(
            tasks.burn,
            "thread",
            80e-3,
            5e-3,
            result=1,
            n_running=16,
            busy_s=80e-3,
            since_s=5e-3,
        )
    assert router.choose(tasks.burn, (1,)) == "process"
    for _ in range(20):
        now += process_s
        router.note_end(tasks.burn, "process", 2 * process_s, 2)
    assert router.choose(tasks.burn, (1,)) == kind
    route = router.explain()["burn"]
    assert route["pace_s"]["thread"] == pytest.approx(5e-3, rel=0.1)
    assert "on threads and every" in route["why"]
    for _ in range(5000):  # what was measured long ago is not believed for ever
        now += 1e-3
        router.observe(tasks.burn, kind, 5e-3, 5e-3, result=1)
    assert router.explain()["burn"]["kind"] == "process"


def test_a_changed_function_is_moved() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 5e-3, 1e-4, n=40)
    assert router.choose(tasks.burn) == "thread"
    observe(router, tasks.burn, 5e-3, 5e-3, n=40)
    assert router.choose(tasks.burn) == "process"


class Thing:
    def method(self, x: int) -> int:
        return x

    def __call__(self, x: int) -> int:
        return x


def closure() -> Any:
    def inner(x: int) -> int:
        return x

    return inner


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda x: x, "lambda"),
        (closure(), "closure"),
        (Thing().method, "bound method"),
        ([].append, "bound method"),
        (Thing(), "callable object"),
        (functools.partial(lambda x: x), "lambda"),
        (functools.partial(tasks.square, threading.Lock()), "bound arguments"),
    ],
)
def test_what_is_not_importable_by_name_stays(fn: Any, why: str) -> None:
    assert why in str(why_it_stays(fn))
    router = Router(n_cpus=2)
    observe(router, fn, 5e-3, 5e-3)
    assert router.choose(fn, (1,)) == "thread"
    (route,) = router.explain().values()
    assert why in route["why"]
    assert not route["may_move"]


@pytest.mark.parametrize("fn", [tasks.square, np.linalg.norm, pow, int, functools.partial(pow, 2)])
def test_what_is_importable_by_name_may_move(fn: Any) -> None:
    assert why_it_stays(fn) is None


def test_arguments_and_results_that_do_not_pickle_keep_a_function_here() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 5e-3, 5e-3)
    assert router.choose(tasks.burn, (threading.Lock(),)) == "thread"
    assert router.choose(tasks.burn, (1,)) == "process"
    observe(router, tasks.make_lambda, 5e-3, 5e-3, result=lambda: 1)
    assert router.choose(tasks.make_lambda, ()) == "thread"


def test_functions_that_return_nothing_stay_with_their_effects() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.nothing, 5e-3, 5e-3, result=None)
    assert router.choose(tasks.nothing) == "thread"
    assert "effects" in router.explain()["nothing"]["why"]
    observe(router, tasks.nothing, 5e-3, 5e-3, n=1, result=3)
    assert router.choose(tasks.nothing) == "process"


@pytest.mark.parametrize(
    ("value", "pickles"),
    [
        (1, True),
        ([1, "a", {"b": (2.0, None)}], True),
        (np.zeros(3), True),
        (np.array([threading.Lock()]), False),
        (list(range(1000)), True),
        ([threading.Lock()], False),
        (lambda: 1, False),
        (tasks.square, True),
    ],
)
def test_arguments_pickle(value: Any, pickles: bool) -> None:
    assert arguments_pickle(value) is pickles


def test_lambdas_made_anew_are_one_function() -> None:
    router = Router(n_cpus=2)
    for _ in range(5):
        observe(router, lambda x: x, 1e-6, 1e-6, n=1)
    assert len(router.explain()) == 1


def test_only_so_many_functions_are_remembered() -> None:
    router = Router(n_cpus=2)
    for i in range(1500):
        kind = type(f"Callable{i}", (), {"__call__": lambda self: 1})
        router.observe(kind(), "thread", 1.0, 0.0)
    assert len(router.explain()) <= 1024


def test_explain_has_numbers() -> None:
    router = Router(n_cpus=2)
    observe(router, tasks.burn, 4e-3, 3e-3, n=9)
    route = router.explain()["burn"]
    assert route["kind"] == "process"
    assert route["calls"] == 9
    assert route["calls_by_kind"] == {"thread": 9}
    assert route["wall_s"] == pytest.approx(4e-3)
    assert route["cpu_share"] == pytest.approx(0.75)
