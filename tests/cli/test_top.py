"""`raudo top`: scripts, a terminal, and a far end that is away or hostile."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from raudo import SmartCache
from raudo.cli import main
from raudo.cli._top_view import draw, figure
from raudo.monitoring import AlertRule, Monitor, serve
from raudo.types import Sample

pytestmark = [
    pytest.mark.parallel_threads(1),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


class Source:
    def __init__(self, *samples):
        self.given = samples

    def samples(self):
        return self.given


@pytest.fixture(scope="module")
def url():
    cache = SmartCache(max_size=100, name="users")
    for n in range(20):
        cache.set_nowait(n, n)
        cache.get_nowait(n)
    hostile = Source(Sample("raudo_cache_hits_total", "counter", 1, (("cache", "\x1b[2Jevil\n"),)))
    monitor = Monitor(cache, hostile, interval=0.1)
    with serve(monitor) as server:
        yield f"{server.url}metrics"
    cache.close_nowait()


def test_once_prints_what_there_is_without_colours(url, capsys):
    assert main(["top", url, "--once", "--interval", "0.1"]) == 0
    text = capsys.readouterr().out
    assert url in text
    assert re.search(r"^users +100.0 %", text, re.M)
    assert "l1 [" in text
    assert "no alerts" in text
    assert "\x1b" not in text
    assert "?[2Jevil?" in text


def test_json_has_the_numbers_of_the_process(url, capsys):
    assert main(["top", url, "--once", "--json", "--interval", "0.1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    frame = json.loads(line)
    (row,) = [row for row in frame["caches"]["rows"] if row["name"] == "users"]
    assert row["levels"][0]["entries"] == 20
    assert [metric["name"] for metric in frame["key_metrics"]][:1] == ["latency"]


def test_a_process_that_is_away_is_told_in_one_line(capsys):
    assert main(["top", "http://127.0.0.1:9/metrics", "--once"]) == 1
    told = capsys.readouterr().err
    assert told == (
        "raudo top: error: cannot read http://127.0.0.1:9/metrics: nothing listens there\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ftp://x"], "url is 'ftp://x'"),
        (["--interval", "0"], "wanted seconds from 0.1 to 3600, got '0'"),
        (["--interval", "soon"], "got 'soon'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    try:
        code = main(["top", *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_pipe_gets_one_frame_after_the_other(url):
    command = [sys.executable, "-m", "raudo", "top", url, "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
        seen = 0
        while seen < 2:
            seen += top.stdout.readline().startswith("raudo top")
        top.send_signal(signal.SIGINT)
        assert "\x1b" not in top.stdout.read()
        assert top.wait(10) == 130


class Terminal:
    """A program in a terminal of a size."""

    def __init__(self, command, lines, columns):
        self.child, self.handle = pty.fork()
        if self.child == 0:
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm"})
        self.resize(lines, columns)
        self.text = ""

    def resize(self, lines, columns):
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, size)

    def until(self, claim):
        deadline = time.monotonic() + 20
        while not claim(self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.handle], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.handle, 65_536).decode()
                except OSError:
                    return

    def end(self):
        """Return the exit code."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        os.close(self.handle)
        return code


def test_a_terminal_is_drawn_resized_and_given_back(url):
    top = Terminal([sys.executable, "-m", "raudo", "top", url, "--interval", "0.2"], 30, 100)
    top.until(lambda text: text.count("raudo top") >= 2)
    assert top.text.startswith("\x1b[?1049h\x1b[?25l")
    assert "\x1b[32m" in top.text  # there is colour
    top.text = ""
    top.resize(8, 40)
    top.until(lambda text: "more lines" in text)
    frame = top.text[top.text.rindex("\x1b[H") :].split("\x1b[J")[0]
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).split("\r\n")
    assert len(lines) == 8
    assert max(map(len, lines)) <= 40
    os.write(top.handle, b"q")
    top.until(lambda text: text.endswith("\x1b[?25h\x1b[?1049l"))
    assert top.end() == 0


def test_a_process_that_ends_is_told_and_seen_again():
    monitor = Monitor(interval=0.1)
    server = serve(monitor)
    command = [sys.executable, "-m", "raudo", "top", f"{server.url}metrics", "--interval", "0.1"]
    top = Terminal(command, 30, 100)
    top.until(lambda text: "Memory" in text)
    server.close()
    top.until(lambda text: "nothing listens there" in text)
    with serve(monitor, port=server.port):
        top.text = ""
        top.until(lambda text: "nothing" not in text.rpartition("\x1b[H")[2] and "Memory" in text)
        os.write(top.handle, b"q")
        top.until(lambda text: text.endswith("\x1b[?1049l"))
    assert top.end() == 0


def frame_of(*samples, **options):
    from raudo.monitoring.dashboard.frame import make_frame

    source = Source(*samples)
    monitor = Monitor(source, process=False, **options)
    monitor.check()
    return make_frame(monitor, title="title")


@pytest.mark.parametrize("columns", [1, 10, 40, 80, 200])
@pytest.mark.parametrize("lines", [1, 2, 10, None])
def test_lines_never_exceed_the_terminal(columns, lines):
    names = ["日本語" * 30, "x" * 300, "", "a\u0301" * 20]
    samples = [
        Sample(metric, "counter", 1e12, ((label, name),))
        for name in names
        for label, metric in (
            ("cache", "raudo_cache_hits_total"),
            ("processor", "raudo_tasks_processed_total"),
            ("pool", "raudo_pool_created_total"),
        )
    ]
    rules = [AlertRule("a rule" * 30, "raudo_cache_hits_total", above=1)]
    drawn = draw(frame_of(*samples, rules=rules), columns, lines, colours=False)
    assert lines is None or len(drawn) <= lines
    assert all(len(line.encode("utf-16-le")) // 2 <= 2 * columns for line in drawn)
    assert all(wide(line) <= columns for line in drawn)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300, 5e-324])
def test_any_number_can_be_shown(value):
    labels = (("cache", "a"), ("level", "l1"))
    names = ("raudo_cache_entries", "raudo_cache_max_entries", "raudo_cache_bytes")
    samples = [Sample(name, "gauge", value, labels) for name in names]
    samples.append(Sample("raudo_memory_used_bytes", "gauge", value))
    samples.append(Sample("raudo_task_mean_seconds", "gauge", value, (("processor", "a"),)))
    samples.append(Sample("raudo_tasks_processed_total", "counter", value, (("processor", "a"),)))
    assert draw(frame_of(*samples), 80, None, colours=True)


def wide(line):
    return sum(0 if each == "\u0301" else 2 if "\u2e80" <= each <= "\u9fff" else 1 for each in line)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "count", "-"),
        (float("nan"), "s", "-"),
        (float("inf"), "bytes", "-"),
        (0, "count", "0"),
        (1234.5, "1/s", "1,234/s"),
        (0.893, "ratio", "89.3 %"),
        (0.0012, "ratio", "0.12 %"),
        (0, "ratio", "0 %"),
        (90, "%", "90.0 %"),
        (0, "s", "0 s"),
        (1.5e-9, "s", "1.5 ns"),
        (0.0312, "s", "31.2 ms"),
        (75, "s", "75 s"),
        (0, "bytes", "0 B"),
        (999, "bytes", "999 B"),
        (1_500_000, "bytes", "1.5 MB"),
        (9.9e18, "bytes", "9,900,000 TB"),
        (-2_000, "bytes", "-2 kB"),
    ],
)
def test_figures_read_well(value, unit, expected):
    assert figure(value, unit) == expected
