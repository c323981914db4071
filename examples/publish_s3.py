"""A small site to an object store, for a CDN in front of it; then a change of one file.

    pip install 'raudo[s3]' 'moto[server]'
    moto_server -H 127.0.0.1 -p 9000 &
    python examples/publish_s3.py http://127.0.0.1:9000

The page is made of the manifest, as a web application would make it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import fsspec

from raudo.integrations.objectstore import Purge, publish


def write_site(folder: Path) -> None:
    (folder / "app.js").write_text("console.log('the same line again');\n" * 100)
    (folder / "style.css").write_text("body { margin: 0 }\n")


def page(manifest_url: str, options: dict[str, str]) -> str:
    with fsspec.open(manifest_url, **options) as file:
        files = json.load(file)["files"]
    return f'<script src="{files["app.js"]["object"]}"></script>'


def main(endpoint: str) -> None:
    # A test server takes any key; a real one has its own in the environment.
    options = {"endpoint_url": endpoint, "key": "test", "secret": "test"}
    fsspec.filesystem("s3", **options).makedirs("example-site", exist_ok=True)

    def tell(purge: Purge) -> None:  # HttpPurge("https://cdn.example.com/assets")
        print("caches are to forget", *purge.urls, *purge.keys)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_site(folder)
        for change in ("", "// one line more\n"):
            with (folder / "app.js").open("a") as file:
                file.write(change)
            done = publish(
                folder,
                "s3://example-site/assets",
                keys=lambda name: [name.partition(".")[2]],
                purge=tell,
                storage_options=options,
            )
            print("sent", *done.uploaded)
            print(page(done.manifest, options))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:9000")
