"""Memory that runs short: caches and pools let go, listeners are told, a real limit is survived."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raudo import Cache, MemoryOptimizer, SmartCache, _pressure, events
from raudo import _process as process
from raudo.memory import BufferPool
from raudo.memory import optimizer as optimizer_module
from raudo.memory.allocator import arena_use
from raudo.memory.census import count_types, more_of
from raudo.memory.watch import AddressSlack, GrowthWatch, PressureWatch
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")

# Keeps 20 KB values in a cache that has room for far more of them than the process may have.
FILL = """
import resource, sys
from raudo import Cache, MemoryOptimizer
from raudo._process import resident_bytes

LIMIT = {limit}
cache = Cache(10_000_000, strategy="lru")
optimizer = MemoryOptimizer(interval=0.02)
if sys.argv[1] == "raudo":
    optimizer.attach("cache", cache)
    optimizer.start()
{bound}
for number in range(50_000):
    cache[number] = bytes(20_000)
optimizer.stop()
assert cache[49_999] == bytes(20_000)
print("alive", len(cache))
"""
RLIMIT = "resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))"
LIMIT = 400 << 20


def fill(mode: str, bound: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FILL.format(limit=LIMIT, bound=bound), mode],
        capture_output=True,
        text=True,
        timeout=120,
    )


@linux_only
@pytest.mark.skipif("RAUDO_SANITIZED" in os.environ, reason="a sanitizer needs the address space")
def test_real_limit_is_survived_where_it_kills_without():
    died = fill("alone", RLIMIT)
    assert died.returncode != 0
    assert "MemoryError" in died.stderr
    lived = fill("raudo", RLIMIT)
    assert lived.returncode == 0, lived.stderr
    assert lived.stdout.startswith("alive")


CGROUPS = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]


def own_cgroup() -> Path | None:
    for root in CGROUPS:
        name = "memory.limit_in_bytes" if root.name == "memory" else "memory.max"
        folder = root / f"raudo-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / name).exists():
            try:
                (folder / name).write_text(str(LIMIT))
            except OSError:
                folder.rmdir()
                continue
            return folder
        folder.rmdir()
    return None


@linux_only
def test_real_cgroup_is_survived_where_it_kills_without():
    folder = own_cgroup()
    if folder is None:
        pytest.skip("no cgroup may be made here")
    enter = f"import os; open({str(folder / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    try:
        died = fill("alone", enter)
        assert died.returncode == -9
        lived = fill("raudo", enter)
        assert lived.returncode == 0, lived.stderr
    finally:
        folder.rmdir()


@pytest.fixture
def memory(monkeypatch):
    state = {"used": 10}
    monkeypatch.setattr(optimizer_module, "resident_bytes", lambda: state["used"])
    monkeypatch.setattr(optimizer_module, "bound_share", lambda free_bytes=0: 0.0)
    return state


def test_cache_and_buffers_shrink_at_the_limits(memory):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100, clock=FakeClock())
    cache = Cache(1000, strategy="lru")
    cache.update((n, n) for n in range(1000))
    buffers = BufferPool()
    leases = [buffers.borrow_bytes(1024) for _ in range(8)]
    for lease in leases:
        lease.__enter__()
    for lease in leases:
        lease.__exit__(None, None, None)
    optimizer.attach("cache", cache)
    optimizer._tick()
    assert len(cache) == 1000
    memory["used"] = 85
    optimizer._tick()
    optimizer._tick()  # once is enough
    assert len(cache) == 750
    assert buffers.stats()["idle"] == 6
    memory["used"] = 95
    optimizer._tick()
    assert len(cache) < 400
    assert cache.maxsize == 1000
    assert 999 in cache


def test_smart_cache_shrinks_and_stays_whole():
    cache = SmartCache(100, levels=(0.5, 0.5, 0.0))
    for n in range(100):
        cache.set_nowait(n, n)
    assert cache in _pressure.registered()
    assert cache.shrink(0.5) > 20
    stats = cache.get_stats()
    assert stats["l1_size"] <= 25
    assert sum(cache.get_nowait(n) == n for n in range(100)) == len(cache)
    for n in range(100):
        cache.set_nowait(n, n)
    assert len(cache) > 90
    cache.close_nowait()


def test_listeners_are_told_once_a_level_and_failures_are_logged(memory, caplog):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100, clock=FakeClock())
    told, emitted = [], []
    optimizer.on_pressure(lambda event: 1 / 0)
    optimizer.on_pressure(told.append)
    end = events.subscribe(events.MemoryShort, emitted.append)
    try:
        for used in (10, 85, 86, 95, 96, 85, 10, 92):
            memory["used"] = used
            optimizer._tick()
    finally:
        end()
    assert [(each.level, each.used_bytes, each.limit_bytes) for each in told] == [
        ("soft", 85, 100),
        ("hard", 95, 100),
        ("hard", 92, 100),
    ]
    assert emitted == told
    assert "a listener of MemoryShort failed" in caplog.text


def test_shrinkable_that_fails_does_not_stop_the_others(caplog):
    class Bad:
        def shrink(self, keep):
            raise OSError

    class Good:
        def shrink(self, keep):
            return 7

    assert _pressure.shrink([Bad(), Good()], 0.5) == 7
    assert "a Bad could not be shrunk" in caplog.text


def test_next_look_comes_sooner_the_nearer_the_limit():
    clock = FakeClock()
    watch = PressureWatch(clock, 0.8, 0.9)
    assert watch.next_look(10, 1.0) == 1.0
    clock.advance(1)
    assert watch.next_look(20, 1.0) == 1.0  # seven seconds to go
    clock.advance(1)
    assert watch.next_look(60, 1.0) == pytest.approx(30 / 40 / 4)
    clock.advance(0.1)
    assert watch.next_look(95, 1.0) == 0.02
    clock.advance(0.02)
    assert watch.next_look(50, 1.0) == 1.0


def test_growth_names_the_types_that_grew():
    class Leaked:
        pass

    watch = GrowthWatch(1000)
    assert watch.look(5000) is None
    leaked = [Leaked() for _ in range(3000)]
    assert watch.look(5999) is None
    event = watch.look(6000)
    assert (event.grown_bytes, event.used_bytes) == (1000, 6000)
    names = [name for name, _ in event.types]
    assert any(name.endswith("Leaked") for name in names)
    assert watch.look(6100) is None
    assert len(leaked) == 3000


def test_census_scales_its_sample():
    class Many:
        __slots__ = ("it",)

        def __init__(self):
            self.it = self

    kept = [Many() for _ in range(5000)]
    (count,) = (n for name, n in count_types(2000).items() if name.endswith("Many"))
    assert count == pytest.approx(5000, rel=0.2)
    assert more_of({"a": 1, "b": 5}, {"a": 4, "b": 5, "c": 2}) == (("a", 3), ("c", 2))
    for each in kept:
        del each.it


@linux_only
@pytest.mark.skipif("RAUDO_SANITIZED" in os.environ, reason="a sanitizer's malloc has no arenas")
def test_arenas_and_unique_memory_are_told():
    use = arena_use()
    assert use is not None
    assert 0 < use["arenas"] <= use["most_arenas"]
    assert use["bytes"] >= use["arenas"] * (256 << 10)
    unique = process.unique_bytes()
    assert unique is None or 0 < unique <= 1.1 * process.resident_bytes()


@pytest.mark.parametrize(
    ("membership", "folder", "names"),
    [
        ("0::/a\n", "a", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:memory:/a\n",
            "memory/a",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_container_use_leaves_out_what_the_kernel_drops_first(tmp_path, membership, folder, names):
    where = tmp_path / "cgroup" / folder
    where.mkdir(parents=True)
    (where / names[0]).write_text("1000\n")
    (where / names[1]).write_text("700\n")
    (where / "memory.stat").write_text(f"anon 5\n{names[2]} 200\n")
    (tmp_path / "self").write_text(membership)
    assert process.container_memory(tmp_path / "self", tmp_path / "cgroup") == (500, 1000)
    (where / names[0]).write_text("max\n")
    assert process.container_memory(tmp_path / "self", tmp_path / "cgroup") is None


@pytest.mark.parametrize("ratios", [(0, 0.9), (0.9, 0.8), (0.5, 1.5)])
def test_bad_ratios_are_named(ratios):
    with pytest.raises(ValueError, match="soft_ratio and hard_ratio are"):
        MemoryOptimizer(soft_ratio=ratios[0], hard_ratio=ratios[1])


def test_what_was_let_go_is_free_until_it_is_used_again():
    slack = AddressSlack()
    assert slack.left(500) == 0
    slack.let_go(before=500, after=200)
    assert [slack.left(resident) for resident in (100, 200, 350, 600)] == [300, 300, 150, 0]
    slack.let_go(before=350, after=300)
    assert slack.left(300) == 200
