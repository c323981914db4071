"""Builds the dashboard that is shipped; the tests ask a real Prometheus each of its queries.

    python -m raudo.monitoring.grafana.build > src/raudo/monitoring/grafana/raudo.json

Needs `grafana-foundation-sdk`, whose types are those of Grafana's own schema; the JSON needs none.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

__all__ = ["PANELS", "Panel", "build_json"]

# Chosen by the variables at the top of the dashboard.
_CHOSEN = 'job=~"$job",instance=~"$instance"'
_GREEN, _ORANGE, _RED = "green", "orange", "red"


_Built = TypeVar("_Built", stat.Panel, timeseries.Panel)


class Query(NamedTuple):
    """PromQL, in which `$$` stands for what the variables select, and how its lines are named."""

    promql: str
    legend: str = ""

    @property
    def expr(self) -> str:
        return self.promql.replace("$$", _CHOSEN)


class Panel(NamedTuple):
    """A panel; with `steps` (bound, colour) it is a single figure, else lines over time."""

    title: str
    unit: str
    queries: Sequence[Query]
    about: str = ""
    steps: Sequence[tuple[float | None, str]] = ()
    highest: float | None = None
    is_stacked: bool = False


def _rate(metric: str, by: str = "") -> str:
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (rate({metric}{{$$}}[$__rate_interval]))"


def _quantiles(metric: str, by: str, legend: str) -> list[Query]:
    return [
        Query(
            f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'le, {by}')})",
            f"{legend} p{share * 100:g}",
        )
        for share in (0.5, 0.95, 0.99)
    ]


_LOOKUPS = f"({_rate('raudo_cache_hits_total')} + {_rate('raudo_cache_misses_total')})"
_LOOKUPS_BY_CACHE = (
    f"({_rate('raudo_cache_hits_total', 'cache')} + {_rate('raudo_cache_misses_total', 'cache')})"
)
_ROWS = {
    "Key metrics": [
        Panel(
            "Hit rate",
            "percentunit",
            [Query(f"{_rate('raudo_cache_hits_total')} / {_LOOKUPS}")],
            "Of all caches together. Target: over 85 %.",
            [(None, _RED), (0.7, _ORANGE), (0.85, _GREEN)],
        ),
        Panel(
            "Time of a task",
            "s",
            [
                Query(
                    f"{_rate('raudo_tasks_seconds_total')} / {_rate('raudo_tasks_processed_total')}"
                )
            ],
            "Mean. Target: under 100 ms.",
            [(None, _GREEN), (0.1, _ORANGE), (0.5, _RED)],
        ),
        Panel(
            "Throughput",
            "ops",
            [Query(f"{_LOOKUPS} + {_rate('raudo_tasks_processed_total')}")],
            "Lookups and tasks. Target: over 1,000 a second.",
            [(None, _GREEN)],
        ),
        Panel(
            "Memory",
            "percent",
            [Query("max (raudo_memory_percent{$$})")],
            "Of the process that uses most of its limit. Target: under 80 %.",
            [(None, _GREEN), (80, _ORANGE), (90, _RED)],
        ),
        Panel(
            "Errors",
            "percentunit",
            [
                Query(
                    f"{_rate('raudo_tasks_failed_total')} / {_rate('raudo_tasks_processed_total')}"
                )
            ],
            "Failed tasks. Target: under 1 %.",
            [(None, _GREEN), (0.01, _ORANGE), (0.05, _RED)],
        ),
        Panel(
            "Alerts firing",
            "short",
            [Query('count (ALERTS{alertstate="firing"}) or vector(0)')],
            "Of every rule that this Prometheus has.",
            [(None, _GREEN), (1, _RED)],
        ),
    ],
    "Caches": [
        Panel(
            "Hit rate by cache",
            "percentunit",
            [
                Query(
                    f"{_rate('raudo_cache_hits_total', 'cache')} / {_LOOKUPS_BY_CACHE}", "{{cache}}"
                )
            ],
            highest=1,
        ),
        Panel("Lookups by cache", "ops", [Query(_LOOKUPS_BY_CACHE, "{{cache}}")]),
        Panel(
            "Time of a hit, by level",
            "s",
            _quantiles("raudo_cache_hit_duration_seconds", "level", "{{level}}"),
            "Targets: L1 0.1 ms, L2 1 ms, L3 10 ms.",
        ),
        Panel(
            "Levels filling up",
            "percentunit",
            [
                Query(
                    "sum by (cache, level) (raudo_cache_entries{$$}) / "
                    "(sum by (cache, level) (raudo_cache_max_entries{$$}) > 0)",
                    "{{cache}} {{level}}",
                )
            ],
            "Entries of those that a level may hold.",
            highest=1,
        ),
        Panel(
            "Bytes by level",
            "bytes",
            [Query("sum by (cache, level) (raudo_cache_bytes{$$})", "{{cache}} {{level}}")],
            is_stacked=True,
        ),
        Panel(
            "What moves",
            "ops",
            [
                Query(_rate(f"raudo_cache_{what}_total"), what)
                for what in ("evictions", "expirations", "promotions", "demotions", "loads")
            ],
        ),
    ],
    "Processors": [
        Panel(
            "Tasks by processor",
            "ops",
            [Query(_rate("raudo_tasks_processed_total", "processor"), "{{processor}}")],
        ),
        Panel(
            "Time of a task, by processor",
            "s",
            _quantiles("raudo_task_duration_seconds", "processor", "{{processor}}"),
        ),
        Panel(
            "Errors by processor",
            "percentunit",
            [
                Query(
                    f"{_rate('raudo_tasks_failed_total', 'processor')} / "
                    f"{_rate('raudo_tasks_processed_total', 'processor')}",
                    "{{processor}}",
                )
            ],
        ),
        Panel(
            "Waiting",
            "short",
            [
                Query("sum by (processor) (raudo_processor_queue_size{$$})", "{{processor}}"),
                Query("sum by (processor) (raudo_batch_queue_size{$$})", "{{processor}}"),
                Query("sum by (kind) (raudo_executor_queue_size{$$})", "executor {{kind}}"),
            ],
        ),
        Panel(
            "Running",
            "short",
            [
                Query("sum by (processor) (raudo_processor_running{$$})", "{{processor}}"),
                Query("sum by (kind) (raudo_executor_busy{$$})", "executor {{kind}}"),
            ],
        ),
        Panel(
            "Workers",
            "short",
            [
                Query(
                    "sum by (processor, pool) (raudo_processor_workers{$$})",
                    "{{processor}} {{pool}}",
                ),
                Query("sum by (kind) (raudo_executor_workers{$$})", "executor {{kind}}"),
            ],
        ),
    ],
    "Memory and process": [
        Panel(
            "Resident memory",
            "bytes",
            [Query("raudo_memory_used_bytes{$$}", "{{instance}}")],
        ),
        Panel(
            "Pools",
            "short",
            [
                Query("sum by (pool) (raudo_pool_in_use{$$})", "{{pool}} lent"),
                Query("sum by (pool) (raudo_pool_idle{$$})", "{{pool}} idle"),
            ],
        ),
        Panel(
            "Processor and collector",
            "percentunit",
            [
                Query(_rate("raudo_process_cpu_seconds_total", "instance"), "{{instance}}"),
                Query(
                    _rate("raudo_gc_pause_duration_seconds_sum", "instance"),
                    "{{instance}} collector",
                ),
            ],
            "Of one core.",
        ),
        Panel(
            "Threads and open files",
            "short",
            [
                Query("raudo_process_threads{$$}", "{{instance}} threads"),
                Query("raudo_process_open_files{$$}", "{{instance}} files"),
            ],
        ),
        Panel(
            "Event loop lag",
            "s",
            [
                Query(
                    "max by (instance, loop) (raudo_loop_lag_seconds{$$})",
                    "{{instance}} loop {{loop}}",
                )
            ],
            "How long callbacks wait for their turn.",
        ),
        Panel(
            "A check of the monitor",
            "s",
            [Query("raudo_monitor_check_seconds{$$}", "{{instance}}")],
        ),
    ],
}
PANELS = [panel for row in _ROWS.values() for panel in row]


def build_json() -> str:
    """Return the dashboard as JSON, ended by a newline."""
    built = (
        dashboard.Dashboard("raudo")
        .uid("raudo")
        .description("Caches, processors, memory and alerts of services that use raudo.")
        .tags(["raudo", "python"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
        )
    )
    for name, inside in (("job", ""), ("instance", '{job=~"$job"}')):
        built = built.with_variable(
            dashboard.QueryVariable(name)
            .label(name.title())
            .datasource(_source())
            .query(f"label_values(raudo_monitor_components{inside}, {name})")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
    numbers = itertools.count(1)
    for title, panels in _ROWS.items():
        built = built.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            drawn = _figure(panel) if panel.steps else _lines(panel)
            built = built.with_panel(drawn.id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _figure(panel: Panel) -> stat.Panel:
    steps = [models.Threshold(color=colour, value=bound) for bound, colour in panel.steps]
    thresholds = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    built = stat.Panel().title(panel.title).unit(panel.unit).height(4).span(4)
    built = built.reduce_options(reduce)
    built = built.thresholds(thresholds).graph_mode(common_models.BigValueGraphMode.AREA)
    return _with_queries(built, panel)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    built = timeseries.Panel().title(panel.title).unit(panel.unit).height(8).span(8)
    built = built.min(0).fill_opacity(8).line_width(1).legend(legend).tooltip(tooltip)
    if panel.highest is not None:
        built = built.max(panel.highest)
    if panel.is_stacked:
        built = built.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    return _with_queries(built, panel)


def _with_queries(built: _Built, panel: Panel) -> _Built:
    if panel.about:
        built = built.description(panel.about)
    built = built.datasource(_source())
    for letter, query in zip(_letters(), panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(_source())
        built = built.with_target(target.legend_format(query.legend or "__auto"))
    return built


def _source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="prometheus", uid="${source}")


def _letters() -> Iterator[str]:
    return iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


if __name__ == "__main__":
    sys.stdout.write(build_json())
