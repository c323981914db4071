"""Exports and publications to S3 beside the bare clients, on moto's server.

The server is Python and shares the machine: the figures compare what each client adds to its time,
not stores. Peers spell the rows with json, and read files as they are: what they leave out (whole
or nothing, names by content, compression) is in raudo's time.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race, timed_ms
from raudo.cli._bench_servers import s3_server
from raudo.export import export
from raudo.integrations.objectstore import publish

__all__ = ["rows"]

_KEYS = {"key": "bench", "secret": "bench"}
_EXPORT = "storage: rows to one object of JSON lines"
_FILES = "storage: a folder of small files"


def rows(quick: bool) -> list[Row]:
    """Measure on a server of our own; nothing where it or s3fs is missing."""
    if not is_installed("s3fs", "boto3"):
        return []
    with s3_server() as endpoint:
        if endpoint is None:
            return []
        return _rows(endpoint, 2_000 if quick else 200_000, 10 if quick else 100, quick)


def _rows(endpoint: str, n: int, n_files: int, quick: bool) -> list[Row]:
    import boto3
    import fsspec

    options = {**_KEYS, "endpoint_url": endpoint}
    system = fsspec.filesystem("s3", **options)
    system.mkdir("bench")
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )

    def made() -> Iterator[dict[str, Any]]:
        return ({"id": i, "text": f"document {i} " * 8, "score": i / 7} for i in range(n))

    def by_s3fs() -> None:
        with system.open("bench/peer.jsonl", "wb") as file:
            for row in made():
                file.write(json.dumps(row).encode() + b"\n")

    def by_boto3() -> None:
        body = io.BytesIO()
        for row in made():
            body.write(json.dumps(row).encode() + b"\n")
        body.seek(0)
        client.upload_fileobj(body, "bench", "whole.jsonl")

    def by_raudo() -> None:
        export(made(), "s3://bench/raudo.jsonl", storage_options=options)

    rounds = 1 if quick else 5
    exports = {"raudo": by_raudo, "s3fs": by_s3fs, "boto3, in memory": by_boto3}
    found = [
        Row(_EXPORT, f"{n:,} rows", "ms", race(timed_ms(exports), rounds), times_better=0.7),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(n_files):
            (folder / f"{i}.js").write_bytes(os.urandom(2048).hex().encode())
        found += _files(folder, options, system, client, rounds)
    return found


def _files(folder: Path, options: dict[str, Any], system: Any, client: Any, k: int) -> list[Row]:
    turn = iter(range(1_000_000))
    paths = sorted(folder.iterdir())

    def anew() -> None:
        publish(folder, f"s3://bench/site{next(turn)}", encoding="none", storage_options=options)

    def again() -> None:
        publish(folder, "s3://bench/site", storage_options=options)

    def one_by_one() -> None:
        place = next(turn)
        for path in paths:
            client.upload_file(str(path), "bench", f"boto3-{place}/{path.name}")

    def at_once() -> None:
        system.put(list(map(str, paths)), [f"bench/s3fs-{next(turn)}/{p.name}" for p in paths])

    peers = {"s3fs put": at_once, "boto3 upload_file": one_by_one}
    publish(folder, "s3://bench/site", storage_options=options)
    first = race(timed_ms({"raudo": anew, **peers}), k)
    second = race(timed_ms({"raudo": again, **peers}), k)
    note = "the bare clients send all of them again"
    return [
        Row(_FILES, f"{len(paths)} files, all new", "ms", first, times_better=0.7),
        Row(_FILES, "nothing has changed", "ms", second, times_better=1.0, note=note),
    ]
