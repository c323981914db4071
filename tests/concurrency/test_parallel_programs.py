"""Whole programs: how they end, and what `__main__` may be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import raudo
from concurrency.leaks import nothing_left_behind

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(90)

SOURCES = str(Path(raudo.__file__).parents[1])


class Program:
    """A running script, in a session of its own, so that Ctrl-C reaches all of its processes."""

    def __init__(self, *arguments: str, feed: str | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": SOURCES, "PYTHONWARNINGS": "error"}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._feed = feed

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if word in line:
                return
        raise AssertionError(f"{word!r} never came: {self.process.communicate()}")

    def interrupt(self) -> None:
        """Press Ctrl-C, once the main thread has had the time to come to its wait.

        A signal between CPython's last look for signals and the wait for a lock ends no wait.
        """
        time.sleep(0.1)
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Wait; return exit code, output and errors, once no process of the session is left."""
        out, err = self.process.communicate(self._feed, timeout=60)
        return self.process.returncode, out, err

    def alive(self) -> list[psutil.Process]:
        """Return the processes of the session that still run."""
        found = []
        for each in psutil.process_iter():
            try:
                if os.getsid(each.pid) == self.process.pid and each.status() != "zombie":
                    found.append(each)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


LONG_MAP = """
    import sys, time
    from raudo import parallel_map

    def work(x):
        print("begun", flush=True)
        time.sleep(600)

    if __name__ == "__main__":
        parallel_map(work, range(8), 2, kind={kind!r})
"""


@pytest.mark.parametrize("kind", ["thread", "process", "auto", "inline"])
def test_ctrl_c_ends_a_map_promptly(script: Any, kind: str) -> None:
    program = Program(script(LONG_MAP.format(kind=kind)))
    program.wait_for("begun")
    program.interrupt()
    code, _, err = program.end()
    assert code == -signal.SIGINT
    assert err.count("\nKeyboardInterrupt") == 1
    assert "KeyboardInterrupt" in err
    assert program.alive() == []


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("in_with", [True, False])
def test_ctrl_c_ends_an_executor_promptly(script: Any, kind: str, in_with: bool) -> None:
    program = Program(
        script(f"""
        import time
        from raudo import ParallelExecutor

        def work(x):
            print("begun", flush=True)
            time.sleep(600)

        def use(executor):
            futures = [executor.submit(work, i) for i in range(4)]
            futures[0].result()

        if __name__ == "__main__":
            if {in_with}:
                with ParallelExecutor(2, 2, kind={kind!r}) as executor:
                    use(executor)
            else:
                use(ParallelExecutor(2, 2, kind={kind!r}))
        """)
    )
    program.wait_for("begun")
    program.interrupt()
    code, _, err = program.end()
    assert code == -signal.SIGINT
    assert err.count("\nKeyboardInterrupt") == 1
    assert program.alive() == []


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_exit_without_shutdown_finishes_the_work_in_silence(script: Any, kind: str) -> None:
    program = Program(
        script(f"""
        import sys, time
        from raudo import ParallelExecutor

        def work(x):
            time.sleep(0.02)
            sys.stdout.write(f"done {{x}}\\n")
            sys.stdout.flush()

        if __name__ == "__main__":
            executor = ParallelExecutor(2, 2, kind={kind!r})
            for i in range(4):
                executor.submit(work, i)
            executor.map(work, range(4, 8))
        """)
    )
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [f"done {i}" for i in range(8)]
    assert program.alive() == []


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_killing_the_program_ends_its_workers(script: Any, start_method: str) -> None:
    program = Program(
        script(f"""
        from raudo.concurrency._workers.processes import ProcessWorkers

        def spin():
            print("begun", flush=True)
            while True:
                pass

        if __name__ == "__main__":
            workers = ProcessWorkers(2, start_method={start_method!r})
            workers.submit(spin).result()
        """)
    )
    program.wait_for("begun")
    alive = program.alive()
    assert len(alive) >= 2
    program.process.kill()
    program.end()
    _, left = psutil.wait_procs(alive, timeout=20)
    assert [each for each in left if each.status() != "zombie"] == []


def test_a_script_on_stdin_works() -> None:
    program = Program(
        "-",
        feed=textwrap.dedent("""
        from raudo import parallel_map

        def work(x):
            total = 0
            for i in range(20_000):
                total += i
            return x

        print(parallel_map(work, range(100)) == list(range(100)))
        print(parallel_map(abs, range(-5, 0), 2, kind="process"))
        """),
    )
    assert program.end() == (0, "True\n[5, 4, 3, 2, 1]\n", "")


def test_a_command_works() -> None:
    program = Program(
        "-c", "from raudo import parallel_map; print(parallel_map(abs, [-1, -2], kind='process'))"
    )
    assert program.end() == (0, "[1, 2]\n", "")


def test_functions_and_classes_of_a_notebook_travel() -> None:
    """There is a `__main__`, and nothing that a worker could import it from."""
    program = Program(
        "-c",
        textwrap.dedent("""
        import numpy as np
        from raudo import parallel_map

        class Point:
            def __init__(self, x):
                self.x = x

        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(a + b)

        scale = 10

        def work(given):
            point, array = given
            if point.x == 3:
                raise Odd("o", "dd")
            return Point(point.x * scale + int(array[-1]))

        items = [(Point(i), np.ones(50_000)) for i in range(5)]
        done = parallel_map(work, items, 2, kind="process", on_error="return")
        print([type(each) is Point for each in done], type(done[3]) is Odd, done[4].x)
        """),
    )
    assert program.end() == (0, "[True, True, True, False, True] True 41\n", "")


def test_a_name_of_the_script_is_not_mistaken_for_the_servers(script: Any) -> None:
    program = Program(
        script("""
        from raudo import parallel_map

        def main(x):
            return x + 1

        if __name__ == "__main__":
            print(parallel_map(abs, [-1], 2, kind="process"))
            print(parallel_map(main, [1, 2], 2, kind="process"))
        """)
    )
    assert program.end() == (0, "[1]\n[2, 3]\n", "")


def test_a_script_without_a_guard_works_with_auto(script: Any) -> None:
    program = Program(
        script("""
        from raudo import parallel_map

        print("once")

        def process_item(x):
            total = 0
            for i in range(20_000):
                total += i
            return x

        items = list(range(300))
        results = parallel_map(process_item, items, max_workers=16)
        print(results == items)
        """)
    )
    assert program.end() == (0, "once\nTrue\n", "")


def test_a_script_without_a_guard_is_told_so_with_processes(script: Any) -> None:
    program = Program(
        script("""
        from raudo import parallel_map

        def work(x):
            return x

        parallel_map(work, [1, 2], 2, kind="process")
        """)
    )
    code, _, err = program.end()
    assert code == 1
    assert 'if __name__ == "__main__"' in err
    assert program.alive() == []


def test_a_library_function_does_not_run_the_script_again(script: Any) -> None:
    program = Program(
        script("""
        from raudo import parallel_map

        print("once", flush=True)
        print(parallel_map(abs, [-1, -2], 2, kind="process"))
        """)
    )
    assert program.end() == (0, "once\n[1, 2]\n", "")


def test_classes_of_the_script_travel_both_ways(script: Any) -> None:
    program = Program(
        script("""
        from raudo import parallel_map

        class Point:
            def __init__(self, x):
                self.x = x

        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(a + b)

        def work(point):
            if point.x == 3:
                raise Odd("o", "dd")
            return Point(point.x + 1)

        if __name__ == "__main__":
            points = [Point(i) for i in range(5)]
            done = parallel_map(work, points, 2, kind="process", on_error="return")
            print([type(each) is Point for each in done], type(done[3]) is Odd)
        """)
    )
    assert program.end() == (0, "[True, True, True, False, True] True\n", "")


def test_run_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "tool.py").write_text(
        "from raudo import parallel_map\n"
        "def work(x): return x + 1\n"
        "if __name__ == '__main__':\n"
        "    print(parallel_map(work, [1, 2, 3], 2, kind='process'))\n"
    )
    path = f"{SOURCES}{os.pathsep}{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "package.tool"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 3, 4]\n", "")


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_a_fork_of_the_program_is_no_owner(script: Any, kind: str) -> None:
    program = Program(
        script("""
        import os, sys, warnings
        from raudo import ParallelExecutor
        from raudo.errors import Closed

        warnings.simplefilter("ignore", DeprecationWarning)

        def main():
            executor = ParallelExecutor(2, 2, kind=sys.argv[1])
            print(executor.submit(abs, -1).result(), flush=True)
            pid = os.fork()
            if pid == 0:
                try:
                    executor.submit(abs, -1)
                except Closed:
                    print("closed here", flush=True)
                with ParallelExecutor(2, 2, kind=sys.argv[1]) as own:
                    print(own.submit(abs, -2).result(), flush=True)
                raise SystemExit(0)
            os.waitpid(pid, 0)
            print(executor.submit(abs, -3).result(), flush=True)
            executor.shutdown()

        if __name__ == "__main__":
            main()
        """),
        kind,
    )
    assert program.end() == (0, "1\nclosed here\n2\n3\n", "")
    assert program.alive() == []
