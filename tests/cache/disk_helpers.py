"""What the tests of the disk tier share."""

import subprocess
import sys
import textwrap

from raudo.types import Blob


def blob(data=b"payload", **changes):
    return Blob(data, **{"codec": "bytes", "raw_bytes": len(data), **changes})


def run(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
