"""Files under names of their content, for a CDN in front of an object store (`raudo[s3]`).

    files -> names by content -> objects, cached for ever -> manifest, cached shortly -> purge

An object never changes under its name, so no copy of it can be stale, and what is there already
need not be sent. Which names are current says the manifest, which is written last and whole:
whoever reads it finds all that it names. Publishers that run at once do not disturb each other; the
manifest is the last one's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raudo.errors import PurgeFailed
from raudo.integrations._publishing import Job, PublishedFile, Store, checked_keys

__all__ = ["Published", "PublishedFile", "Purge", "publish"]

_ENCODINGS = ("auto", "gzip", "zstd", "none")


@dataclass(frozen=True, slots=True)
class Purge:
    """What caches are to forget after a publication."""

    urls: tuple[str, ...]
    """Paths that have changed, from the folder that was published to: the manifest."""
    keys: tuple[str, ...]
    """Surrogate keys of the files that have changed, come or gone."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication did."""

    manifest: str
    """URL of the manifest."""
    files: Mapping[str, PublishedFile]
    uploaded: tuple[str, ...]
    """Names of the files that were sent, the others being there already."""
    bytes_sent: int
    seconds: float
    purge: Purge | None
    """What was purged, or is to be; None where nothing has changed."""


def publish(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    url: str,
    *,
    manifest: str = "manifest.json",
    max_age: int = 60,
    encoding: str = "auto",
    types: Mapping[str, str] | None = None,
    keys: Iterable[str] | Callable[[str], Iterable[str]] = (),
    purge: Callable[[Purge], object] | None = None,
    n_jobs: int = 8,
    storage_options: Mapping[str, Any] | None = None,
) -> Published:
    """Upload files under names of their content, then a manifest that says which they are.

    Args:
        paths: Files, named by their last part, and folders, whose files are named from there
            (hidden ones are left out).
        url: The folder on the store: `s3://bucket/assets`. A local folder or another file system of
            fsspec does too, but keeps no headers: whoever serves it has to send them.
        manifest: Name of the manifest, JSON: by file name `object`, `bytes`, `sha256`, `type`,
            `encoding`, `keys`.
        max_age: How many seconds caches may keep the manifest; objects are kept for ever.
        encoding: `Content-Encoding`: `gzip`, `zstd` or `none`; `auto` is gzip for text of a
            kilobyte or more where headers are kept. Compressed bytes are deterministic.
        types: `Content-Type` by suffix (`{".glb": "model/gltf-binary"}`), before those known.
        keys: Surrogate keys of all files, or a function from a file's name to its keys. S3 has them
            as `x-amz-meta-surrogate-key`.
        purge: Called once after the manifest has changed, with what caches are to forget; see
            `raudo.integrations.http_purge.HttpPurge`.
        n_jobs: Files that are sent at the same time; each takes up to 32 MiB of memory.
        storage_options: Of the URL's file system, as for fsspec.

    What is there already, by its name, is not sent; where nothing has changed nothing is written.
    If anything fails the old manifest stays, and all it names; objects sent by then stay too, and
    need not be sent again. Objects that no manifest names any more are left to the caller: pages
    that were made of the old one may still ask for them.

    Raises:
        ExportError: A file cannot be read or keeps changing, or the store does not take it.
        PurgeFailed: `purge` raised. All is published; `error.published.purge` is what to purge.
        MissingExtra: The URL or `encoding="zstd"` needs a package that is not installed.
        ValueError: An argument, or two files of one name.
    """
    start = time.monotonic()
    if encoding not in _ENCODINGS:
        raise ValueError(f"encoding is {encoding!r}, one of {', '.join(_ENCODINGS)} is wanted")
    _check_number("max_age", max_age, 0)
    _check_number("n_jobs", n_jobs, 1)
    _check_names(url, manifest)
    if types is not None and not isinstance(types, Mapping):
        raise TypeError(f"types is {types!r}, a mapping of suffixes is wanted")
    if purge is not None and not callable(purge):
        raise TypeError(f"purge is {purge!r}, a callable is wanted")
    sources = _sources(paths)
    if manifest in sources:
        raise ValueError(f"a file is named {manifest!r}, as the manifest: give manifest=")
    of_all = () if callable(keys) else checked_keys(keys)
    tags = {name: checked_keys(keys(name)) if callable(keys) else of_all for name in sources}
    store = Store(url, storage_options)
    if encoding == "auto" and not store.keeps_headers:
        encoding = "none"
    old_text = store.read(manifest)
    old = _files_of(old_text)
    there = store.sizes()

    def send(name: str) -> tuple[PublishedFile, bool]:
        job = Job(name, sources[name], encoding, types or {}, tags[name])
        return job.run(store, old.get(name), there)

    with ThreadPoolExecutor(n_jobs, thread_name_prefix="raudo-publish") as pool:
        try:
            sent = dict(zip(sources, pool.map(send, sources), strict=True))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    files = {name: file for name, (file, _) in sent.items()}
    plain = {"version": 1, "files": {name: file.as_json() for name, file in files.items()}}
    text = json.dumps(plain, indent=1).encode() + b"\n"
    changed = None
    if text != old_text:
        store.write_manifest(manifest, text, max_age)
        changed = Purge((manifest,), _keys_of_changes(old, files))
    uploaded = tuple(name for name, (_, was_sent) in sent.items() if was_sent)
    done = Published(
        manifest=store.url_of(manifest),
        files=files,
        uploaded=uploaded,
        bytes_sent=sum(files[name].bytes for name in uploaded),
        seconds=time.monotonic() - start,
        purge=changed,
    )
    if purge is not None and changed is not None:
        try:
            purge(changed)
        except Exception as error:
            raise PurgeFailed(f"published, but not purged: {error}", done) from error
    return done


def _check_number(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}, a whole number is wanted")
    if value < least:
        raise ValueError(f"{name} is {value}, at least {least} is wanted")


def _check_names(url: object, manifest: object) -> None:
    if not isinstance(url, str):
        raise TypeError(f"url is {url!r}, a str is wanted")
    if not url:
        raise ValueError("url is empty; the current folder is '.'")
    if not isinstance(manifest, str):
        raise TypeError(f"manifest is {manifest!r}, a str is wanted")
    if {"", ".", ".."}.intersection(manifest.split("/")):
        raise ValueError(f"manifest is {manifest!r}, a name within the folder is wanted")


def _sources(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> dict[str, Path]:
    """Return all files by name, in the order of the names."""
    if not isinstance(paths, str | os.PathLike | Iterable):
        raise TypeError(f"paths is {paths!r}, files or folders are wanted")
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[str, Path] = {}
    for path in map(Path, given):
        files = list(_visible_files(path)) if path.is_dir() else [path]
        for file in files:
            name = path.name if file is path else file.relative_to(path).as_posix()
            if name in found:
                raise ValueError(f"{found[name]} and {file} are both named {name!r}")
            found[name] = file
    if not found:
        raise ValueError("paths has no file")
    return dict(sorted(found.items()))


def _visible_files(folder: Path) -> Iterator[Path]:
    for each, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(each, name) for name in names if not name.startswith("."))


def _files_of(text: bytes | None) -> dict[str, PublishedFile]:
    """Return what a manifest lists; nothing where it is none of ours."""
    try:
        listed = json.loads(text or b"{}")["files"]
        return {name: PublishedFile.of_json(each) for name, each in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keys_of_changes(
    old: Mapping[str, PublishedFile], new: Mapping[str, PublishedFile]
) -> tuple[str, ...]:
    """Return the keys of what has changed, come or gone, of its old and of its new state."""
    changed = [name for name in {*old, *new} if old.get(name) != new.get(name)]
    states = [state for name in changed for state in (old.get(name), new.get(name)) if state]
    return tuple(sorted({key for state in states for key in state.keys}))
