"""Recording a cache's lookups: what can be read back, and that nothing reaches the caller."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from raudo import Cache
from raudo._core import recorder
from raudo._core.recorder import Recorder
from raudo.cache.traces import read_trace

pytestmark = pytest.mark.parallel_threads(1)  # threads would share the test's folder


def numbered(keys: Any) -> list[int]:
    """Number keys by their first appearance."""
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def lookups(path: Path) -> list[int]:
    return numbered(read_trace(path).keys.tolist())


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_lookups_are_read_back_in_order(tmp_path: Path) -> None:
    cache = Cache[Any, int](10, record=tmp_path / "a")
    keys = [n % 700 if n % 3 else str(n % 11) for n in range(10_000)]
    for key in keys:
        if cache.get(key) is None:
            cache[key] = 1
    assert 5 not in cache  # no lookup
    assert cache.recorder is not None
    assert cache.recorder.n_recorded == 10_000
    cache.recorder.close()
    assert not cache.recorder.is_recording
    cache.get(1)
    assert cache.recorder.n_recorded == 10_000
    assert lookups(tmp_path / "a") == numbered(keys)
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_what_is_recorded_tells_nothing_of_the_keys(tmp_path: Path) -> None:
    for name in "ab":
        cache = Cache[int, int](10, record=str(tmp_path / name))
        cache.get_many([1, 2, 1])
        assert cache.recorder is not None
        cache.recorder.close()
    first, second = (read_trace(tmp_path / name).keys.tolist() for name in "ab")
    assert numbered(first) == numbered(second) == [0, 1, 0]
    assert not {1, 2} & {*first, *second}
    assert not set(first) & set(second)  # each has its own secret


def test_recording_and_advising_go_together(tmp_path: Path) -> None:
    cache = Cache[int, int](10, record=tmp_path / "a", advise=True)
    for n in (1, 2, 1, 3):
        cache.get(n)
    assert cache.advise()["1x"].hit_rate == 0.25
    cache.resize(20)
    cache.get(9)
    assert cache.recorder is not None
    cache.recorder.flush()
    assert lookups(tmp_path / "a") == [0, 1, 0, 2, 3]


def test_the_last_block_is_written_when_the_cache_goes(tmp_path: Path) -> None:
    cache = Cache[int, int](10, record=tmp_path / "a")
    cache.get(1)
    del cache
    gc.collect()
    assert lookups(tmp_path / "a") == [0]


def test_the_last_block_is_written_at_exit(tmp_path: Path) -> None:
    done = run(
        """
        import sys, raudo
        cache = raudo.Cache(10, record=sys.argv[1])
        cache.get_many([1, 2, 1])
        """,
        tmp_path / "a",
    )
    assert done.returncode == 0, done.stderr
    assert lookups(tmp_path / "a") == [0, 1, 0]


def test_a_process_that_is_killed_leaves_what_it_had_written(tmp_path: Path) -> None:
    done = run(
        """
        import os, signal, sys, raudo
        cache = raudo.Cache(10, record=sys.argv[1])
        for n in range(10_000):
            cache.get(n)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "a",
    )
    assert done.returncode == -signal.SIGKILL
    assert lookups(tmp_path / "a") == list(range(8192))


@pytest.mark.parametrize("cut", [1, 8, 100, 8 * 1808, 8 * 1808 + 23])
def test_a_torn_block_is_left_out(tmp_path: Path, cut: int) -> None:
    cache = Cache[int, int](10, record=tmp_path / "a")
    for n in range(10_000):
        cache.get(n)
    assert cache.recorder is not None
    cache.recorder.close()
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[:-cut])
    trace = read_trace(tmp_path / "a")
    assert len(trace.keys) == 8192
    assert trace.torn is not None
    assert "torn block at byte 65592" in trace.torn


def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    done = run(
        """
        import resource, sys, warnings, raudo
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        cache = raudo.Cache(10, record=sys.argv[1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for n in range(20_000):
                assert cache.get(n) is None
        assert len(caught) == 1 and caught[0].category is RuntimeWarning, caught
        assert "File too large" in str(caught[0].message)
        recorder = cache.recorder
        assert not recorder.is_recording and recorder.error == "File too large"
        assert (recorder.n_recorded, recorder.n_lost) == (4096, 4096), recorder
        recorder.close()
        """,
        tmp_path / "a",
    )
    assert done.returncode == 0, done.stderr
    assert lookups(tmp_path / "a") == list(range(4096))


def test_a_warning_that_is_an_error_does_not_reach_the_caller(tmp_path: Path) -> None:
    done = run(
        """
        import resource, sys, warnings, raudo
        warnings.simplefilter("error")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        cache = raudo.Cache(10, record=sys.argv[1])
        for n in range(5000):
            assert cache.get(n) is None
        """,
        tmp_path / "a",
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stderr  # told as unraisable


def test_a_recording_ends_before_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LIMIT_BYTES", 70_000)
    cache = Cache[int, int](10, record=tmp_path / "a")
    for n in range(20_000):
        cache.get(n)
    assert cache.recorder is not None
    assert not cache.recorder.is_recording
    assert cache.recorder.error is None
    assert (tmp_path / "a").stat().st_size <= 70_000
    assert len(lookups(tmp_path / "a")) == cache.recorder.n_recorded == 8192


def test_a_forked_child_does_not_record(tmp_path: Path) -> None:
    done = run(
        """
        import os, sys, raudo
        cache = raudo.Cache(10, record=sys.argv[1])
        cache.get(1)
        child = os.fork()
        for n in range(10_000):
            cache.get(2)
        if child == 0:
            cache.recorder.close()
            sys.exit(cache.recorder.is_recording)
        sys.exit(os.waitpid(child, 0)[1])
        """,
        tmp_path / "a",
    )
    assert done.returncode == 0, done.stderr
    assert lookups(tmp_path / "a") == [0] + [1] * 10_000


def test_a_child_forked_while_a_block_is_written_does_not_wait_for_it(tmp_path: Path) -> None:
    done = run(
        """
        import os, signal, sys, threading, raudo
        cache = raudo.Cache(10, record=sys.argv[1])
        path = os.path.realpath(sys.argv[1])
        (file,) = (
            int(name) for name in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{name}") == path
        )
        reading, writing = os.pipe()
        os.dup2(writing, file)
        os.set_blocking(writing, False)
        try:
            while True:  # so that the next write waits
                os.write(writing, bytes(4096))
        except BlockingIOError:
            os.set_blocking(writing, True)

        def ask():
            for n in range(5_000):
                cache.get(n)

        writer = threading.Thread(target=ask)
        writer.start()
        while cache.recorder.n_recorded < 4096:
            pass
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            cache.recorder.flush()
            os._exit(cache.recorder.is_recording)
        status = os.waitpid(child, 0)[1]
        os.set_blocking(reading, False)
        while writer.is_alive():
            try:
                os.read(reading, 1 << 20)
            except BlockingIOError:
                pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), file)
        sys.exit(status)
        """,
        tmp_path / "a",
    )
    assert done.returncode == 0, done.stderr


def test_threads_lose_nothing_uncounted(tmp_path: Path) -> None:
    cache = Cache[int, int](10, record=tmp_path / "a")

    def ask() -> None:
        for n in range(30_000):
            cache.get(n)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.recorder is not None
    cache.recorder.close()
    assert cache.recorder.n_recorded + cache.recorder.n_lost == 120_000
    assert len(read_trace(tmp_path / "a").keys) == cache.recorder.n_recorded


def test_only_an_older_recording_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for _ in range(2):
        cache = Cache[int, int](10, record=path)
        cache.get(1)
        assert cache.recorder is not None
        cache.recorder.close()
    assert lookups(path) == [0]
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="record: wanted a new file or an older recording"):
        Cache(10, record=path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("keys", [False, True])
def test_a_recording_ends_where_another_one_takes_its_place(tmp_path: Path, keys: bool) -> None:
    older, newer = (Cache(10, record=tmp_path / "a", record_keys=keys) for _ in range(2))
    for n in range(5):
        older.get(n)
    assert not older.recorder.is_recording
    for n in range(9):
        newer.get(n)
    del older
    newer.recorder.close()
    assert lookups(tmp_path / "a") == list(range(9))


def test_what_a_recording_held_back_is_not_written_into_the_next(tmp_path: Path) -> None:
    older = Cache(10, record=tmp_path / "a")
    older.get(1)
    newer = Cache(10, record=tmp_path / "a")
    assert (older.recorder.n_recorded, older.recorder.n_lost) == (0, 1)
    del older
    newer.get(2)
    newer.recorder.close()
    assert len(read_trace(tmp_path / "a").keys) == 1


def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Cache(10, record=tmp_path / "nowhere" / "a")
    with pytest.raises(IsADirectoryError):
        Cache(10, record=tmp_path)
    with pytest.raises(TypeError, match="record: wanted a path or None, got 7"):
        Cache(10, record=7)  # type: ignore[arg-type]


def test_a_copy_does_not_record(tmp_path: Path) -> None:
    cache = Cache[int, int](10, record=tmp_path / "a")
    assert cache.copy().recorder is None
    assert pickle.loads(pickle.dumps(cache)).recorder is None
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(cache.recorder)
    assert "0 lookups, recording" in repr(cache.recorder)


# --- keys themselves --------------------------------------------------------------------------


def test_keys_are_recorded_as_they_are(tmp_path: Path) -> None:
    keys: list[Any] = [1, "1", "user 5", b"x", (1, "a\nb"), 2.5, None, "\u00e9\ud800", 1]
    cache = Cache[Any, int](10, record=tmp_path / "a", record_keys=True)
    for key in keys * 2000:
        cache.get(key)
    assert cache.recorder is not None
    assert cache.recorder.has_keys
    cache.recorder.close()
    assert cache.recorder.n_recorded == len(keys) * 2000
    lines = (tmp_path / "a").read_bytes().splitlines()
    assert lines[:4] == [b"# raudo keys 1", b"1", b"'1'", b"'user 5'"]
    assert lookups(tmp_path / "a") == numbered(keys * 2000)
    Cache(10, record=tmp_path / "a")  # an older recording: replaced
    assert (tmp_path / "a").read_bytes() == recorder.MAGIC


def test_keys_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError

    class Wide:
        def __repr__(self) -> str:
            return "a\nb"

    cache = Cache[Any, int](10, record=tmp_path / "a", record_keys=True)
    for key in (1, Silent(), "x" * 40_000, Wide(), 2):
        assert cache.get(key) is None
    assert cache.recorder is not None
    cache.recorder.close()
    assert (cache.recorder.n_recorded, cache.recorder.n_lost) == (3, 2)
    assert (tmp_path / "a").read_bytes() == b"# raudo keys 1\n1\na\\nb\n2\n"


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"# raudo keys 1\n1\n2\n'us")
    trace = read_trace(tmp_path / "a")
    assert len(trace.keys) == 2
    assert trace.torn is not None
    assert "3 bytes of a torn line" in trace.torn


def test_a_process_that_is_killed_leaves_the_keys_it_had_written(tmp_path: Path) -> None:
    done = run(
        """
        import os, signal, sys, raudo
        cache = raudo.Cache(10, record=sys.argv[1], record_keys=True)
        for n in range(100_000):
            cache.get(n)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "a",
    )
    assert done.returncode == -signal.SIGKILL
    found = lookups(tmp_path / "a")
    assert found == list(range(len(found)))
    assert len(found) > 90_000


def test_files_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for n in range(20):
        Recorder(tmp_path / str(n))
    assert len(os.listdir("/proc/self/fd")) == before
