"""Times the export of rows and columns beside json, csv, orjson, pandas, polars, pyarrow, NumPy.

    python benchmarks/bench_export.py [--quick] [--only text|columns] [--json FILE]

The same as `raudo bench export`, which works from an installed wheel too.
"""

import sys

from raudo.cli import main

if __name__ == "__main__":
    sys.argv = ["raudo", "bench", "export", *sys.argv[1:]]
    sys.exit(main())
