"""Makes the models of `tests/reference` importable, and skips where the core is not built."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # tests/
