"""What the system says of the process, checked against psutil and made-up cgroups."""

from __future__ import annotations

import psutil
import pytest

from raudo import _process

pytestmark = pytest.mark.parallel_threads(1)  # a fixture holds one folder


def test_resident_bytes_agree_with_psutil():
    expected = psutil.Process().memory_info().rss
    assert _process.resident_bytes() == pytest.approx(expected, rel=0.2)


def test_resident_bytes_without_proc(monkeypatch):
    monkeypatch.setattr(_process, "_STATM", "/nowhere")
    expected = psutil.Process().memory_info().rss
    assert _process.resident_bytes() == pytest.approx(expected, rel=0.2)


def test_available_memory_is_no_more_than_the_machine_has():
    assert 0 < _process.available_memory_bytes() <= psutil.virtual_memory().total


@pytest.fixture
def cgroup(tmp_path):
    def build(membership, files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "self").write_text(membership)
        return min(_process._cgroup_limits(tmp_path / "self", tmp_path / "cgroup"))

    return build


def test_cgroup_v2_the_tightest_level_counts(cgroup):
    files = {"a/b/memory.max": "max\n", "a/memory.max": "5000\n", "memory.max": "9000\n"}
    assert cgroup("0::/a/b\n", files) == 5000


def test_cgroup_v1(cgroup):
    files = {"memory/a/memory.limit_in_bytes": "7000\n", "cpu/a/memory.limit_in_bytes": "1\n"}
    assert cgroup("5:cpu,cpuacct:/a\n4:memory:/a\n", files) == 7000


def test_cgroup_path_of_the_host_falls_back_to_the_root(cgroup):
    assert cgroup("0::/docker/abc\n", {"memory.max": "6000\n"}) == 6000


def test_no_cgroup_is_no_limit(tmp_path):
    assert _process._cgroup_limits(tmp_path / "absent") == [2**63]
