"""What holds for each index: the answers of a plain model, whole changes, files, and threads."""

import copy
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raudo.errors import CorruptEntry
from raudo.similarity import FlatIndex, IVFIndex, pairwise_distances
from reference.index_model import IndexModel, hamming, sqeuclidean

NAMES = st.lists(st.integers(0, 120), max_size=40, unique=True)


class IndexMachine(RuleBasedStateMachine):
    """Rows of whole numbers: distances are exact, and many are equal."""

    def make(self):
        raise NotImplementedError

    def rows(self, m, seed):
        return np.random.default_rng(seed).integers(-2, 3, (m, 4)).astype(np.float32)

    def __init__(self):
        super().__init__()
        self.index = self.make()
        self.model = IndexModel(sqeuclidean)

    @rule(names=NAMES, seed=st.integers(0, 99))
    def add(self, names, seed):
        rows = self.rows(len(names), seed)
        if self.model.rows.keys() & set(names):
            with pytest.raises(ValueError, match="in the index already"):
                self.index.add(rows, names)
        else:
            self.index.add(rows, names)
            self.model.add(rows, names)

    @rule(m=st.integers(0, 60), seed=st.integers(0, 99))
    def add_more(self, m, seed):
        rows = self.rows(m, seed)
        self.model.add(rows, self.index.add(rows).tolist())

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), seed=st.integers(0, 99))
    def update(self, data, seed):
        there = sorted(self.model.rows)
        names = data.draw(st.lists(st.sampled_from(there), max_size=12, unique=True))
        rows = self.rows(len(names), seed)
        self.index.update(names, rows)
        self.model.add(rows, names)

    @rule(names=st.lists(st.integers(200, 10**6), min_size=1, max_size=3, unique=True))
    def update_unknown(self, names):
        if not self.model.rows.keys() & set(names):
            with pytest.raises(ValueError, match="not in the index"):
                self.index.update(names, self.rows(len(names), 0))

    @rule(share=st.sampled_from([0.02, 0.3, 0.9, 1]), seed=st.integers(0, 99))
    def remove(self, share, seed):
        there = np.array(sorted(self.model.rows), np.int64)
        chosen = np.random.default_rng(seed).permutation(there)[: int(share * len(there))]
        assert self.index.remove([*chosen.tolist(), 10**9]) == len(chosen)
        self.model.remove(chosen.tolist())

    @rule(
        seed=st.integers(0, 99),
        q=st.integers(1, 3),
        k=st.integers(1, 30),
        allowed=st.none() | st.sets(st.integers(0, 300)),
        as_mask=st.booleans(),
    )
    def search(self, seed, q, k, allowed, as_mask):
        queries = self.rows(q, seed)
        filter = allowed
        if allowed is not None and as_mask:
            filter = np.zeros(max(allowed, default=-1) + 1, bool)
            filter[list(allowed)] = True
        given = self.index.search(queries, k, filter=filter)
        for i in range(q):
            names, distances = self.model.search(queries[i], k, allowed)
            n = len(names)
            assert given.ids[i].tolist() == names + [-1] * (k - n)
            np.testing.assert_allclose(given.distances[i, :n], distances, atol=1e-6)
            assert np.isnan(given.distances[i, n:]).all()

    @rule(
        seed=st.integers(0, 99),
        radius=st.sampled_from([0, 0.3, 3, 1e9]),
        allowed=st.none() | st.sets(st.integers(0, 300)),
    )
    def search_within(self, seed, radius, allowed):
        queries = self.rows(2, seed)
        given = self.index.search_within(queries, radius, filter=allowed)
        assert given.offsets[0] == 0
        assert given.offsets[-1] == len(given.ids) == len(given.distances)
        for i in range(2):
            names, _ = self.model.within(queries[i], radius, allowed)
            assert given.ids[given.offsets[i] : given.offsets[i + 1]].tolist() == sorted(names)

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap):
        path = f"/tmp/raudo-machine-{os.getpid()}.index"
        try:
            self.index.save(path)
            version = self.index.version
            self.index = type(self.index).load(path, mmap=mmap)
            assert self.index.version != version
        finally:
            os.unlink(path)

    @invariant()
    def holds_the_model(self):
        assert len(self.index) == len(self.model.rows)
        assert sorted(self.index.ids.tolist()) == sorted(self.model.rows)


def machine_of(make_index):
    class Machine(IndexMachine):
        def make(self):
            return make_index()

    test = Machine.TestCase
    test.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
    return test


TestFlat = machine_of(lambda: FlatIndex(4, "sqeuclidean"))
TestFlatInt8 = machine_of(lambda: FlatIndex(4, "sqeuclidean", storage="int8"))


class AllLists(IVFIndex):
    """Every list is looked into: then nothing may be missed."""

    def _find(self, state, queries, k, *rest, n_probe=None):
        return super()._find(state, queries, k, *rest, n_probe=1000)


TestLists = machine_of(lambda: AllLists(4, "sqeuclidean", nlist=4))


def test_bits_follow_the_model():
    """Hamming distances of 8 bits; the machine's rows would not be bits."""
    random = np.random.default_rng(0)
    index, model = FlatIndex(21, "hamming", storage="bits"), IndexModel(hamming)
    for round in range(30):
        rows = random.random((7, 21)) < 0.5
        model.add(rows, index.add(rows).tolist())
        names = random.choice(sorted(model.rows), 3, replace=False).tolist()
        index.update(names, ~rows[:3])
        model.add(~rows[:3], names)
        gone = random.choice(sorted(model.rows), round % 5, replace=False).tolist()
        assert index.remove(gone) == len(gone)
        model.remove(gone)
        names, _ = model.search(rows[0], 9)
        given = index.search(rows[:1], 9)
        assert given.ids[0, : len(names)].tolist() == names
        names, _ = model.within(rows[0], 8 / 21)
        assert index.search_within(rows[:1], 8 / 21).ids.tolist() == sorted(names)


def clustered(n, d=16, seed=0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, d))
    rows = centres[random.integers(0, 40, n)] + 0.4 * random.standard_normal((n, d))
    return rows.astype(np.float32)


KINDS = {
    "flat": lambda: FlatIndex(16, "sqeuclidean"),
    "int8": lambda: FlatIndex(16, "sqeuclidean", storage="int8"),
    "alone": lambda: FlatIndex(16, "sqeuclidean", storage="int8", rerank=False),
    "lists": lambda: IVFIndex(16, "sqeuclidean", nlist=12),
    "lists alone": lambda: IVFIndex(16, "sqeuclidean", nlist=12, rerank=False),
}


@pytest.fixture(params=KINDS)
def index(request):
    return KINDS[request.param]()


# --- within a radius --------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["inner", "cosine", "euclidean"])
@pytest.mark.parametrize("kind", ["flat", "lists"])
def test_within_is_all_that_is_near(metric, kind):
    rows, queries = clustered(1500), clustered(20, seed=1)
    index = FlatIndex(16, metric) if kind == "flat" else IVFIndex(16, metric, nlist=12, recall=1)
    index.add(rows)
    far = pairwise_distances(queries, rows, metric=metric)
    for share in (0, 0.01, 0.2, 1):
        radius = float(np.quantile(far, 1 - share if metric == "inner" else share))
        given = index.search_within(queries, radius)
        is_near = far >= radius if metric == "inner" else far <= radius
        n_wanted = int(is_near.sum())
        if kind == "flat":
            assert abs(len(given.ids) - n_wanted) <= 2  # the matrix rounds otherwise
        else:
            assert 0.97 * n_wanted - 2 <= len(given.ids) <= n_wanted + 2
        for i in range(20):
            own = slice(given.offsets[i], given.offsets[i + 1])
            assert (np.diff(given.ids[own]) > 0).all()
            np.testing.assert_allclose(given.distances[own], far[i, given.ids[own]], atol=1e-4)


def test_within_nothing(index):
    nothing = index.search_within(clustered(3), 1.0)
    assert nothing.offsets.tolist() == [0, 0, 0, 0]
    index.add(clustered(50))
    assert index.search_within(clustered(0), 1.0).offsets.tolist() == [0]
    assert len(index.search_within(clustered(3), -1.0).ids) == 0
    assert len(index.search_within(clustered(3), 1e9, filter=[]).ids) == 0
    assert len(index.search_within(clustered(3) * np.nan, 1e9).ids) == 0
    with pytest.raises(ValueError, match="radius is NaN"):
        index.search_within(clustered(3), float("nan"))


# --- changes ----------------------------------------------------------------------------------


def test_update_says_what_is_wrong(index):
    index.add(clustered(5))
    for ids, rows, words in [
        ([1, 9], clustered(2), "id 9 is not in"),
        ([1, 1], clustered(2), "1 twice"),
        ([1], clustered(2), "ids has 1"),
        ([1], clustered(1)[:, :3], "3 columns"),
    ]:
        with pytest.raises(ValueError, match=words):
            index.update(ids, rows)
    before = index.version
    index.update([], clustered(0))
    assert index.version == before
    index.update([3], clustered(1, seed=5))
    assert index.version != before
    assert len(index) == 5


def test_eight_threads_see_whole_versions(index):
    """Rows i and i + 500 are equal and change together: a search finds both or none."""
    rows, others = clustered(500), clustered(500, seed=3)
    index.add(np.concatenate((rows, rows)))
    problems, is_over = [], threading.Event()

    def look(seed):
        random = np.random.default_rng(seed)
        while not is_over.is_set():
            some = random.choice(500, 16, replace=False)
            found = index.search(rows[some], 6)
            for names in found.ids.tolist():
                pairs = {name for name in names[:-1] if (name + 500) % 1000 not in names}
                if any(pair != names[-2] and pair != names[-1] for pair in pairs):
                    problems.append(names)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(7)]
    for thread in threads:
        thread.start()
    random = np.random.default_rng(0)
    for round in range(30):
        some = random.choice(500, 40, replace=False)
        both = np.concatenate((some, some + 500))
        if round % 3:
            index.update(both, np.concatenate((others[some], others[some])))
        else:
            index.remove(both)
            index.add(np.concatenate((rows[some], rows[some])), both)
    is_over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert problems == []


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [False, True])
def test_a_loaded_index_answers_and_changes_as_the_saved(index, tmp_path, mmap):
    queries = clustered(9, seed=1)
    index.add(clustered(700), np.arange(700) * 3)
    index.remove(np.arange(0, 700, 5) * 3)
    index.save(tmp_path / "rows")
    whole = (tmp_path / "rows").read_bytes()
    loaded = type(index).load(tmp_path / "rows", mmap=mmap)
    for change in (
        lambda index: None,
        lambda index: index.update([3, 6], clustered(2, seed=4)),
        lambda index: index.remove([9, 12]),
        lambda index: index.add(clustered(40, seed=5)),
    ):
        change(index)
        change(loaded)
        for given, wanted in zip(loaded.search(queries, 8), index.search(queries, 8), strict=True):
            np.testing.assert_array_equal(given, wanted)
    assert (tmp_path / "rows").read_bytes() == whole


def test_a_mapped_file_may_be_replaced(index, tmp_path):
    index.add(clustered(400))
    index.save(tmp_path / "rows")
    mapped = type(index).load(tmp_path / "rows", mmap=True)
    wanted = mapped.search(clustered(5, seed=1), 4)
    index.remove(np.arange(400))
    index.save(tmp_path / "rows")
    mapped.save(tmp_path / "again")
    np.testing.assert_array_equal(mapped.search(clustered(5, seed=1), 4).ids, wanted.ids)
    assert len(type(index).load(tmp_path / "again")) == 400


def mapped_bytes(path):
    """Return how many bytes of a file this process has mapped and looked at."""
    is_its, n_bytes = False, 0
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split(" ")[0]:
                is_its = line.rstrip().endswith(str(path))
            elif is_its and line.startswith("Rss:"):
                n_bytes += int(line.split()[1]) * 1024
    return n_bytes


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="no smaps here")
def test_a_mapped_file_is_read_where_it_is_looked_at(tmp_path):
    index = IVFIndex(256, nlist=300)
    index.add(clustered(20_000, 256))
    path = tmp_path / "rows"
    index.save(path)
    mapped = IVFIndex.load(path, mmap=True)
    size = path.stat().st_size
    assert mapped_bytes(path) < size / 10
    query = clustered(1, 256, seed=1)
    np.testing.assert_array_equal(
        mapped.search(query, 5, nprobe=3).ids, index.search(query, 5, nprobe=3).ids
    )
    assert mapped_bytes(path) < size / 4


def answers(load, path):
    """Return whether a file is loaded; whatever is in it, what is loaded can be searched."""
    try:
        loaded = load(path)
    except CorruptEntry:
        return False
    loaded.search(clustered(3), 5)
    loaded.search_within(clustered(3), 2.0)
    loaded.remove(loaded.ids[:3])
    return True


@pytest.mark.timeout(60)
def test_damaged_files_are_told_and_never_crash(index, tmp_path):
    index.add(clustered(300))
    index.remove([1, 2])
    path = tmp_path / "rows"
    index.save(path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    kind = type(index)
    n_loaded = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[at] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        n_loaded += answers(kind.load, path)
        answers(lambda path: kind.load(path, mmap=True), path)
    assert n_loaded < 10  # what lies between arrays is nobody's
    for length in [*random.integers(0, len(whole), 30), len(whole) - 1, 16, 0]:
        path.write_bytes(whole[:length])
        for mmap in (False, True):
            with pytest.raises(CorruptEntry):
                kind.load(path, mmap=mmap)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptEntry, match="bytes, its header says"):
        kind.load(path)


@pytest.mark.timeout(60)
def test_files_with_right_sums_that_do_not_fit_together_are_told(index, tmp_path):
    """Someone wrote the header anew, sums and all."""
    index.add(clustered(300))
    path = tmp_path / "rows"
    index.save(path)
    whole = path.read_bytes()
    length = struct.unpack("<I", whole[8:12])[0]
    head, start = json.loads(whole[16 : 16 + length]), -(-(16 + length) // 64) * 64

    def written(changed):
        header = json.dumps(changed).encode()
        first = -(-(16 + len(header)) // 64) * 64
        sums = struct.pack("<II", len(header), zlib.crc32(header))
        path.write_bytes((whole[:8] + sums + header).ljust(first, b"\0") + whole[start:])

    values = (None, -1, 7, "x", [], 2**70)
    changes = [("meta", key, value) for key in head["meta"] for value in values]
    changes += [("bytes", None, value) for value in values]
    changes += [("arrays", None, value) for value in (None, [], [{}], {}, 3)]
    n_told = 0
    for part, key, value in changes:
        changed = json.loads(json.dumps(head))
        if key is None:
            changed[part] = value
        else:
            changed[part][key] = value
        written(changed)
        n_told += not answers(type(index).load, path)
    for number in (0, len(head["arrays"]) - 1):
        for key in head["arrays"][number]:
            for value in (*values, [3], [-1, 4], "<f8", "<i4", "|u1", "heads"):
                changed = json.loads(json.dumps(head))
                changed["arrays"][number][key] = value
                written(changed)
                n_told += not answers(lambda path: type(index).load(path, mmap=True), path)
    assert n_told > len(changes) / 2


SAVES = """
import sys
import numpy as np
from raudo.similarity import FlatIndex
index = FlatIndex(64)
index.add(np.zeros((20_000, 64), np.float32))
index.save(sys.argv[1])
print("begun", flush=True)
for number in range(1, 1000):
    index.update(np.arange(20_000), np.full((20_000, 64), number, np.float32))
    index.save(sys.argv[1])
"""


@pytest.mark.timeout(60)
def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path):
    path = tmp_path / "rows"
    for delay in (0.0, 0.013, 0.031, 0.057):
        child = subprocess.Popen([sys.executable, "-c", SAVES, path], stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b"begun\n"
            time.sleep(delay)
        finally:
            child.send_signal(signal.SIGKILL)
            child.communicate()
        loaded = FlatIndex.load(path)
        assert len(loaded) == 20_000
        found = loaded.search(np.ones((1, 64)), 20_000).distances
        assert len(np.unique(found)) == 1


@pytest.mark.parametrize("make", [lambda: FlatIndex(4, "sqeuclidean"), lambda: IVFIndex(4)])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_is_an_index_of_its_own(make, copied):
    rows = np.random.default_rng(3).standard_normal((200, 4)).astype(np.float32)
    index = make()
    index.add(rows[:100])
    index.remove({1, 2})
    other = copied(index)
    assert other.version != index.version
    wanted = index.search(rows, 3)
    np.testing.assert_array_equal(other.search(rows, 3).ids, wanted.ids)
    other.add(rows[100:150])
    index.add(rows[150:])  # into the same places, were they shared
    index.remove(np.arange(50))
    assert len(other) == 148
    names, given = np.sort(other.ids), other.search(rows[100:150], 148)
    np.testing.assert_array_equal(np.sort(given.ids), np.broadcast_to(names, (50, 148)))
    expected = FlatIndex(4, other.metric)
    expected.add(rows[[0, *range(3, 150)]], names)
    np.testing.assert_array_equal(given.ids, expected.search(rows[100:150], 148).ids)
