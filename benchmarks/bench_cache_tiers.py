"""Time of a set and a hit in each level of SmartCache; the script is `raudo bench tiers`.

    python benchmarks/bench_cache_tiers.py [--quick]

With pytest-benchmark: the compiled parts of the levels one by one.
"""

import argparse
import pickle
import sys

import pytest

from raudo._core.plain import load_plain
from raudo.cache.codecs import BlobCodec
from raudo.cache.tiers import CompressedTier, DiskTier
from raudo.cli._bench_tiers import record, render, run
from raudo.types import Blob

SIZES = (1024, 100 * 1024)


@pytest.mark.parametrize("size", SIZES)
def bench_l2_take_and_put(benchmark, size):
    tier, blob = CompressedTier(1000), Blob(bytes(size), "bytes", size)
    for n in range(1000):
        tier.put_nowait(b"%d" % n, blob)
    benchmark(lambda: tier.put_nowait(b"55", tier.take(b"55")))


@pytest.mark.parametrize("trusted", [True, False])
def bench_decode(benchmark, trusted):
    codec = BlobCodec()
    blob = codec.encode(record(1, 1024))
    assert benchmark(lambda: codec.decode(blob, trusted=trusted)) == record(1, 1024)


@pytest.mark.parametrize("load", [load_plain, pickle.loads], ids=["plain", "pickle"])
def bench_load(benchmark, load):
    data = pickle.dumps(record(1, 1024), 5)
    assert benchmark(lambda: load(data)) == record(1, 1024)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["get", "put"])
def bench_l3(benchmark, tmp_path, what, size):
    tier, blob = DiskTier(tmp_path / "t", max_bytes=1 << 26), Blob(bytes(size), "bytes", size)
    tier.put_nowait(b"a", blob)
    if what == "get":
        assert benchmark(lambda: tier.read_ready(b"a")) == blob
    else:
        benchmark(lambda: tier.put_nowait(b"a", blob))
    tier.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shows that it runs, not figures")
    found = run(quick=parser.parse_args().quick, say=lambda text: print(text, file=sys.stderr))
    print("\n".join(render(found)))
