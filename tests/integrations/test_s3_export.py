"""Exports to S3: the sink's contract, parts, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest

from raudo.errors import ExportError
from raudo.export import export
from raudo.export.sinks import s3
from raudo.export.sinks.s3 import S3Sink
from raudo.testing import SinkContract

pytestmark = pytest.mark.slow  # a server, which no interpreter changes


def rows(n):
    return ({"id": i, "text": f"{i % 7}" * 100} for i in range(n))


class TestS3Sink(SinkContract):
    @pytest.fixture(autouse=True)
    def _folder(self, object_store, request):
        self.store, self.folder = object_store, f"sink-{abs(hash(request.node.nodeid)):x}"
        yield
        assert object_store.unfinished() == []

    def make_sink(self):
        return S3Sink(self.store.options)

    def location(self, name):
        return self.store.url(f"{self.folder}/{name}")

    def read(self, location):
        path = location.removeprefix("s3://")
        self.store.system.invalidate_cache()
        return self.store.system.cat_file(path) if self.store.system.exists(path) else None

    def names(self):
        return self.store.names(self.folder)

    def test_a_dropped_upload_in_parts_leaves_nothing(self):
        sink, location = self.make_sink(), self.location("a.bin")
        with sink.open(location) as file:
            for _ in range(3):
                file.write(bytes(s3.PART_BYTES))
            assert len(self.store.unfinished()) == 1
        assert self.read(location) is None
        sink.abort(location)
        assert self.names() == []

    def test_an_upload_in_parts_is_whole(self):
        data = b"".join(i.to_bytes(4, "big") for i in range(3 * s3.PART_BYTES // 8))
        self._put(self.make_sink(), self.location("a.bin"), data)
        assert self.read(self.location("a.bin")) == data
        etag = self.store.head(f"{self.folder}/a.bin")["ETag"]
        assert etag.endswith('-2"'), "two parts"


def test_the_manifest_has_the_sums_of_what_was_uploaded(object_store):
    url = object_store.url("parts/rows.jsonl.gz")
    result = export(rows(30_000), url, parts=2, storage_options=object_store.options)
    manifest = json.loads(object_store.system.cat_file(result.manifest))
    assert manifest["rows"] == 30_000
    for part in manifest["parts"]:
        data = object_store.system.cat_file(f"bucket/parts/{part['path']}")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part["bytes"], part["sha256"])
    assert len(object_store.names("parts")) == 3


def test_rows_that_fail_leave_the_old_object(object_store):
    url = object_store.url("rows/rows.jsonl")
    export(rows(10), url, storage_options=object_store.options)
    before = object_store.system.cat_file(url)

    def broken():
        yield from rows(100_000)  # some parts of them are sent by then
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        export(broken(), url, storage_options=object_store.options)
    assert object_store.system.cat_file(url) == before
    assert (object_store.names("rows"), object_store.unfinished()) == (["rows.jsonl"], [])


@pytest.mark.parametrize("parts", [None, 2])
def test_a_server_that_goes_away_leaves_no_half_object(object_store, parts):
    url = object_store.url("gone/rows.csv")
    export(rows(10), url, storage_options=object_store.options)
    before = object_store.system.cat_file(url)

    def cut_off():
        yield from rows(200_000)
        object_store.proxy.cut()
        yield from rows(200_000)

    try:
        with pytest.raises(ExportError) as caught:
            export(cut_off(), url, parts=parts, storage_options=object_store.options)
    finally:
        object_store.proxy.mend()
    assert caught.value.filename.startswith("s3://bucket/gone/rows")
    assert object_store.system.cat_file(url) == before
    assert object_store.names("gone") == ["rows.csv"]
    # What could not be aborted has no name; a bucket's rule removes it. Here we do.
    object_store.system.clear_multipart_uploads("bucket")


def test_a_bucket_that_is_not_there_is_an_export_error(object_store):
    with pytest.raises(ExportError, match="no-bucket"):
        export(rows(1), "s3://no-bucket/rows.csv", storage_options=object_store.options)
    with pytest.raises(ExportError, match="a bucket, not an object"):
        export(rows(1), "s3://bucket", format="csv", storage_options=object_store.options)


class SlowSystem:
    """Takes parts, and holds each until it is let go."""

    default_block_size = 50 << 20

    def __init__(self):
        self.may_end = threading.Event()
        self.sizes, self.at_once, self.most_at_once = [], 0, 0
        self._lock = threading.Lock()

    def split_path(self, path):
        return (*path.split("/", 1), None)

    def call_s3(self, method, **arguments):
        if method == "create_multipart_upload":
            return {"UploadId": "1"}
        if method == "upload_part":
            with self._lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                self.sizes.append(len(arguments["Body"]))
            assert self.may_end.wait(60)
            with self._lock:
                self.at_once -= 1
        return {"ETag": "e"}

    def invalidate_cache(self, path):
        pass


def test_a_writer_waits_while_parts_are_under_way(monkeypatch):
    monkeypatch.setattr(s3, "PART_BYTES", 1000)
    system = SlowSystem()
    upload = s3._Upload(system, "bucket/key", {})
    written = []

    def write():
        for _ in range(100):
            upload.write(bytes(100))
            written.append(100)

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 60
    while len(system.sizes) < s3.IN_FLIGHT and time.monotonic() < until:
        time.sleep(0.001)
    assert sum(written) <= (s3.IN_FLIGHT + 1) * 1000
    system.may_end.set()
    writer.join(60)
    upload.close()
    upload.commit()
    assert system.most_at_once == s3.IN_FLIGHT
    assert sum(system.sizes) == 10_000


def test_parts_grow_so_that_ten_thousand_hold_the_largest_object(monkeypatch):
    monkeypatch.setattr(s3, "PART_BYTES", 10)
    monkeypatch.setattr(s3, "PARTS_OF_ONE_SIZE", 5)
    system = SlowSystem()
    system.may_end.set()
    upload = s3._Upload(system, "bucket/key", {})
    upload.write(bytes(211))
    upload.close()
    assert sorted(system.sizes) == [*[10] * 5, *[20] * 5, 21, 40]
    largest = sum((8 << 20 << n) * 1000 for n in range(10))
    assert largest > 5 * 10**12


def test_options_are_for_urls(tmp_path):
    with pytest.raises(ValueError, match="storage_options are for URLs"):
        export(rows(1), tmp_path / "a.csv", storage_options={"key": "k"})
