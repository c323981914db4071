"""`raudo publish`: files to an object store, under names of their content, for a CDN in front."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raudo.integrations.http_purge import HttpPurge

__all__ = ["HELP", "add_arguments", "run"]

HELP = "upload files under names of their content, for a CDN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders")
    parser.add_argument("url", metavar="URL", help="where to: s3://bucket/folder, or a folder")
    parser.add_argument("--manifest", default="manifest.json", metavar="NAME", help="its name")
    parser.add_argument(
        "--max-age",
        type=int,
        default=60,
        metavar="SECONDS",
        help="how long caches may keep the manifest (default: 60)",
    )
    parser.add_argument(
        "--encoding",
        choices=("auto", "gzip", "zstd", "none"),
        default="auto",
        help="how files are compressed (default: gzip for text)",
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="a surrogate key; may be repeated"
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="of a store that is not Amazon's; AWS_ENDPOINT_URL too"
    )
    parser.add_argument(
        "--purge", metavar="URL", help="the folder as the cache in front knows it: told to forget"
    )
    parser.add_argument("--purge-method", default="PURGE", metavar="METHOD", help="(PURGE)")
    parser.add_argument(
        "--purge-headers",
        type=Path,
        metavar="FILE",
        help="lines of `Name: value` that go with it, such as a token",
    )
    parser.add_argument("--json", action="store_true", help="print all that was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Publish, and print what was sent."""
    from raudo.integrations.objectstore import publish

    try:
        done = publish(
            args.paths,
            args.url,
            manifest=args.manifest,
            max_age=args.max_age,
            encoding=args.encoding,
            keys=args.key,
            purge=_purge(args),
            storage_options={"endpoint_url": args.endpoint} if args.endpoint else None,
        )
    except ValueError as error:
        print(f"{args.prog}: error: {error} (see {args.prog} --help)", file=sys.stderr)
        return 2
    if args.json:
        files = {name: file.as_json() for name, file in done.files.items()}
        said = {"manifest": done.manifest, "uploaded": done.uploaded, "files": files}
        print(json.dumps(said, indent=2))
    else:
        print(
            f"{len(done.files)} files, {len(done.uploaded)} sent ({done.bytes_sent:,} bytes) in "
            f"{done.seconds:.1f} s: {done.manifest}"
        )
    return 0


def _purge(args: argparse.Namespace) -> HttpPurge | None:
    from raudo.integrations.http_purge import HttpPurge

    if args.purge is None:
        return None
    headers = {}
    if args.purge_headers is not None:
        lines = args.purge_headers.read_text(encoding="utf-8").splitlines()
        for line in filter(str.strip, lines):
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"{args.purge_headers} has a line without a colon")
            headers[name.strip()] = value.strip()
    return HttpPurge(args.purge, method=args.purge_method, headers=headers)
