"""What a pool asks before it lends: a place under its limit, a check, an age and idle time."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import weakref

import pytest

from raudo.errors import PoolError, PoolExhausted
from raudo.memory import ObjectPool
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)  # they start threads of their own
LONG_S = 30.0  # a wait that only a lost wake-up would use up


class Connection:
    def __init__(self):
        self.is_open = True
        self.is_alive = True

    def close(self):
        assert self.is_open
        self.is_open = False


def balanced(pool):
    stats = pool.stats()
    return stats["created"] == sum(stats[key] for key in ("in_use", "idle", "discarded", "lost"))


# --- what comes back --------------------------------------------------------------------------


@pytest.mark.parametrize(("factory", "text"), [(io.StringIO, "abc"), (io.BytesIO, b"abc")])
def test_stream_comes_back_empty(factory, text):
    pool = ObjectPool(factory)
    stream = pool.acquire()
    stream.write(text)
    pool.release(stream)
    assert pool.acquire() is stream
    assert (stream.tell(), stream.getvalue()) == (0, text[:0])


def test_closed_stream_is_discarded():
    pool = ObjectPool(io.StringIO)
    stream = pool.acquire()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        pool.release(stream)
    assert pool.acquire() is not stream
    assert balanced(pool)


class Parser:
    def __init__(self):
        self.n_resets = 0

    def reset(self):
        self.n_resets += 1


def test_object_with_a_reset_of_its_own_is_reset():
    pool = ObjectPool(Parser)
    for _ in range(40):
        parser = pool.acquire()
        pool.release(parser)
    assert parser.n_resets == 40


def test_given_reset_takes_the_place_of_its_own():
    seen = []
    pool = ObjectPool(Parser, reset=seen.append)
    parser = pool.acquire()
    pool.release(parser)
    assert seen == [parser]
    assert parser.n_resets == 0


# --- the limit --------------------------------------------------------------------------------


def test_limit_refuses_at_once_without_a_timeout():
    pool = ObjectPool(Connection, limit=2, timeout=0, name="database")
    first, second = pool.acquire(), pool.acquire()
    with pytest.raises(PoolExhausted, match=r"the pool 'database' has lent all of its 2 objects$"):
        pool.acquire()
    pool.release(first)
    assert pool.acquire() is first
    assert pool.limit == 2
    pool.release(second)
    assert balanced(pool)


def test_limit_waits_until_the_timeout():
    pool = ObjectPool(Connection, limit=1, timeout=0.01)
    kept = pool.acquire()
    with pytest.raises(TimeoutError, match=r"none came back within 0.01 s"):
        pool.acquire()
    assert pool.stats()["waiting"] == 0
    pool.release(kept)


def test_dropped_object_frees_its_place():
    pool = ObjectPool(Connection, limit=1, timeout=0)
    pool.acquire()  # dropped
    pool.acquire()
    assert pool.stats()["lost"] >= 1


def test_waiter_notices_an_object_that_is_dropped():
    pool = ObjectPool(Connection, limit=1, timeout=LONG_S)
    held = [pool.acquire()]
    got = []
    thread = threading.Thread(target=lambda: got.append(pool.acquire()))
    thread.start()
    held.clear()
    thread.join(LONG_S)
    assert len(got) == 1


def test_failed_factory_gives_its_place_back():
    answers = [OSError("down"), None]

    def connect():
        if (error := answers.pop(0)) is not None:
            raise error
        return Connection()

    pool = ObjectPool(connect, limit=1, timeout=0)
    with pytest.raises(OSError, match="down"):
        pool.acquire()
    pool.acquire()


def test_never_more_than_the_limit_and_every_waiter_is_served():
    alive, most, errors = set(), [0], []

    def make():
        made = Connection()
        alive.add(id(made))
        most[0] = max(most[0], len(alive))
        return made

    def close(connection):
        connection.close()
        alive.discard(id(connection))

    pool = ObjectPool(make, max_size=2, limit=3, timeout=LONG_S, close=close)

    def work(seed):
        try:
            for n in range(300):
                with pool.borrow() as connection:
                    assert connection.is_open
                    if (n * seed) % 7 == 0:
                        threading.Event().wait(0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= 3
    assert pool.stats()["waiting"] == 0
    assert balanced(pool)


# --- async ------------------------------------------------------------------------------------


def test_async_borrow_waits_without_blocking_the_loop():
    pool = ObjectPool(Connection, limit=2, timeout=LONG_S)
    most = 0

    async def use():
        nonlocal most
        async with pool.borrow() as connection:
            assert connection.is_open
            most = max(most, pool.in_use)
            await asyncio.sleep(0)

    async def main():
        await asyncio.wait_for(asyncio.gather(*(use() for _ in range(50))), LONG_S)

    asyncio.run(main())
    assert most == 2
    assert (pool.in_use, pool.stats()["waiting"]) == (0, 0)


def test_async_refusal_and_timeout():
    async def main():
        pool = ObjectPool(Connection, limit=1, timeout=0.005)
        kept = await pool.acquire_async()
        with pytest.raises(PoolExhausted):
            await pool.acquire_async()
        pool.release(kept)

    asyncio.run(main())


def test_cancelled_waiter_passes_its_turn_on():
    async def main():
        pool = ObjectPool(Connection, limit=1, timeout=LONG_S)
        kept = await pool.acquire_async()
        first = asyncio.create_task(pool.acquire_async())
        second = asyncio.create_task(pool.acquire_async())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.release(kept)  # wakes the first, which is cancelled before it runs
        first.cancel()
        assert await asyncio.wait_for(second, LONG_S) is kept
        assert first.cancelled()
        assert pool.stats()["waiting"] == 0
        pool.release(kept)

    asyncio.run(main())


def test_thread_hands_over_to_a_task():
    pool = ObjectPool(Connection, limit=1, timeout=LONG_S)
    kept = pool.acquire()

    async def main():
        waiting = asyncio.create_task(pool.acquire_async())
        await asyncio.sleep(0)
        await asyncio.to_thread(pool.release, kept)
        return await asyncio.wait_for(waiting, LONG_S)

    assert asyncio.run(main()) is kept


def test_waiter_of_a_closed_loop_does_not_swallow_the_turn():
    pool = ObjectPool(Connection, limit=1, timeout=LONG_S)
    kept = pool.acquire()
    loop = asyncio.new_event_loop()
    waiter = loop.create_task(pool.acquire_async())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # with the task waiting
    got = []
    thread = threading.Thread(target=lambda: got.append(pool.acquire()))
    thread.start()
    pool.release(kept)
    thread.join(LONG_S)
    assert got == [kept]
    waiter._log_destroy_pending = False
    del waiter


# --- check, age, idle time --------------------------------------------------------------------


def test_unfit_objects_are_closed_and_replaced():
    closed = []
    pool = ObjectPool(Connection, check=lambda each: each.is_alive, close=closed.append)
    lent = [pool.acquire() for _ in range(3)]
    for each in lent:
        pool.release(each)
    lent[2].is_alive = lent[1].is_alive = False
    assert pool.acquire() is lent[0]
    assert closed == [lent[2], lent[1]]
    assert balanced(pool)


def test_check_that_raises_has_found_the_object_unfit():
    def check(connection):
        raise OSError("gone")

    pool = ObjectPool(Connection, check=check)
    first = pool.acquire()
    pool.release(first)
    assert pool.acquire() is not first
    assert balanced(pool)


def test_interrupted_check_loses_nothing():
    def check(connection):
        raise KeyboardInterrupt

    pool = ObjectPool(Connection, limit=1, timeout=0, check=check)
    pool.release(pool.acquire())
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    assert balanced(pool)
    pool.acquire()


def test_old_objects_are_not_lent_again():
    clock = FakeClock()
    closed = []
    pool = ObjectPool(Connection, max_age=60, close=closed.append, timer=clock)
    first = pool.acquire()
    clock.advance(59)
    pool.release(first)
    assert pool.acquire() is first
    clock.advance(2)
    pool.release(first)  # came back too old
    assert closed == [first]
    second = pool.acquire()
    pool.release(second)
    clock.advance(61)
    assert pool.acquire() is not second  # grew old on the shelf
    assert balanced(pool)


def test_idle_objects_are_discarded_after_a_while():
    clock = FakeClock()
    closed = []
    pool = ObjectPool(Connection, max_idle=10, close=closed.append, timer=clock)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    clock.advance(6)
    pool.release(second)
    clock.advance(6)
    assert pool.acquire() is second
    assert closed == [first]
    pool.release(second)
    clock.advance(11)
    assert pool.trim_unused() == 1
    assert pool.idle == 0


def test_trim_unused_drops_what_no_acquire_has_needed():
    pool = ObjectPool(list)
    lent = [pool.acquire() for _ in range(10)]
    for each in lent:
        pool.release(each)
    assert pool.trim_unused() == 0
    busy = [pool.acquire() for _ in range(3)]
    for each in busy:
        pool.release(each)
    assert pool.trim_unused() == 7
    assert pool.idle == 3


def test_close_sees_all_that_the_pool_lets_go():
    closed = []
    pool = ObjectPool(Connection, max_size=1, close=closed.append)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)  # no room
    assert closed == [second]
    assert pool.trim() == 1
    assert closed == [second, first]


def test_failing_close_is_logged(caplog):
    def close(connection):
        raise OSError("stuck")

    pool = ObjectPool(Connection, close=close)
    pool.release(pool.acquire())
    assert pool.trim() == 1
    assert "closing a Connection of a pool failed" in caplog.text


def test_values_are_trimmed_one_by_one():
    closed = []
    pool = ObjectPool(lambda: "token", close=closed.append)
    lent = [pool.acquire() for _ in range(3)]
    for each in lent:
        pool.release(each)
    assert pool.trim(1) == 2
    assert closed == ["token"] * 2
    assert pool.acquire() == "token"
    assert balanced(pool)


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"limit": 0}, ValueError, "limit is 0"),
        ({"limit": 1.5}, TypeError, "limit is 1.5"),
        ({"limit": True}, TypeError, "limit is True"),
        ({"limit": 1, "timeout": -1}, ValueError, "timeout is -1"),
        ({"limit": 1, "timeout": "long"}, TypeError, "timeout is 'long'"),
        ({"check": 1}, TypeError, "check is 1"),
        ({"close": 1}, TypeError, "close is 1"),
        ({"max_age": -1}, ValueError, "max_age is -1"),
        ({"max_idle": float("nan")}, ValueError, "max_idle is nan"),
        ({"timer": 1}, TypeError, "timer is 1"),
    ],
)
def test_bad_rules_are_named(rules, error, message):
    with pytest.raises(error, match=message):
        ObjectPool(list, **rules)


def test_release_errors_are_the_same_with_rules():
    pool = ObjectPool(Connection, limit=1, timeout=0)
    kept = pool.acquire()
    pool.release(kept)
    with pytest.raises(PoolError, match="twice"):
        pool.release(kept)
    with pytest.raises(PoolError, match="did not lend it"):
        pool.release(Connection())


def test_waiting_task_leaves_nothing_behind():
    async def main():
        pool = ObjectPool(list, limit=1, timeout=LONG_S)
        held = pool.acquire()
        waiting = asyncio.create_task(pool.acquire_async())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        loop = asyncio.get_running_loop()
        assert all(timer.cancelled() for timer in loop._scheduled)
        assert pool.stats()["waiting"] == 0
        pool.release(held)
        return weakref.ref(loop)

    loop = asyncio.run(main())
    gc.collect()
    assert loop() is None
