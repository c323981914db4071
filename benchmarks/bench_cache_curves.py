"""Draws hit ratio against size, by the compiled caches: the figure of docs/performance.md.

    python benchmarks/bench_cache_curves.py --traces DIR [--out docs/hit_ratio.svg] [--quick]

LRU, S3-FIFO and ADAPTIVE beside Belady's optimum, each size a replay of its own (get, and set on a
miss), of the first 400,000 requests. `--name` chooses other traces of the folder. Without a folder
four seeded synthetic workloads are drawn.
"""

from __future__ import annotations

from pathlib import Path

from raudo.cli._cache_plot import Panel, draw
from raudo.cli._cache_replay import curves_of
from traces import arguments, synthetic, traces_in

NAMES = {
    "oltp": "Database pages (OLTP)",
    "cloudphysics_io": "Virtual machine, block I/O",
    "scarab_recs": "Shop, recommendations",
    "web07": "Web site, product pages",
}
SYNTHETIC = ("zipf_0.9", "shifting", "scans_over_zipf", "phases")
LINES = {"adaptive": "ADAPTIVE", "s3fifo": "S3-FIFO", "lru": "LRU"}


def main() -> None:
    parser = arguments(__doc__, "10,000 requests, 4 sizes")
    parser.add_argument("--name", action="append", help="of a trace; may be repeated")
    parser.add_argument("--sizes", type=int, default=14, help="for each line")
    parser.add_argument("--out", type=Path, help="SVG file (default: print the ratios alone)")
    args = parser.parse_args()
    limit, n_sizes = (10_000, 4) if args.quick else (args.limit, args.sizes)
    names = args.name or (list(NAMES) if args.traces is not None else SYNTHETIC)
    found = dict(
        synthetic(min(limit, 200_000)) if args.traces is None else traces_in(args.traces, limit)
    )
    panels = []
    for name in names:
        curves = curves_of(found[name], list(LINES), n_sizes)
        print(f"{name}: {len(found[name]):,} requests; hit ratio in percent")
        sizes = next(iter(curves.values()))[0]
        print(f"{'entries':10}" + "".join(f"{size:>9,}" for size in sizes))
        for line, (_, ratios) in curves.items():
            print(f"{line:10}" + "".join(f"{100 * ratio:9.2f}" for ratio in ratios), flush=True)
        named = {LINES.get(line, line): values for line, values in curves.items()}
        panels.append(Panel(NAMES.get(name, name), named))
    if args.out is not None:
        args.out.write_text(draw(panels, "entries", "hit ratio"), encoding="utf-8")
        print(f"{args.out}: drawn")


if __name__ == "__main__":
    main()
