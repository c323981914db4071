"""Spans of tasks, loads and stages: which, of what, inside which; and none when nobody traces."""

from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from raudo import AsyncProcessor, SmartCache, _trace
from raudo.analysis import DocumentAnalyzer
from raudo.monitoring.tracing import trace

pytestmark = pytest.mark.parallel_threads(1)  # what is traced is the process's


@pytest.fixture
def provider():
    # Not kept until the end of the process: it starts a thread in each fork of it.
    return TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def spans(provider):
    """Return a function that gives the ended spans and forgets them; trace meanwhile."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    end = trace(provider)

    def take():
        found = exporter.get_finished_spans()
        exporter.clear()
        return found

    yield take
    end()
    assert _trace.begin is None


async def double(x):
    return 2 * x


def plain(x):
    return x + 1


async def fails():
    raise ValueError("no")


def attributes(span):
    return {key.removeprefix("raudo."): value for key, value in span.attributes.items()}


async def test_each_way_to_run_a_task_makes_a_span(spans):
    async with AsyncProcessor(use_processes=False) as processor:
        assert await processor.process(double, 1) == 2
        assert await processor.process(plain, 1, kind="thread") == 2
        assert await processor.process_batch([(double, (n,)) for n in range(3)]) == [0, 2, 4]
        assert [o.value async for o in processor.stream([(double, (4,))])] == [8]
        assert await (await processor.submit(double, 5)) == 10
    found = spans()
    assert [span.name for span in found] == ["raudo.task"] * 7
    assert [attributes(span)["kind"] for span in found] == ["async", "thread", *["async"] * 5]
    assert attributes(found[1]) == {
        "code.function.name": "plain",
        "attempt": 1,
        "kind": "thread",
    }


async def test_each_attempt_has_a_span_and_errors_are_noted(spans):
    async with AsyncProcessor(retries=1, backoff=0.001) as processor:
        with pytest.raises(ValueError, match="no"):
            await processor.process(fails)
        (error,) = await processor.process_batch([(fails, ())], return_exceptions=True)
        assert isinstance(error, ValueError)
    found = spans()
    assert [attributes(span)["attempt"] for span in found] == [1, 2, 1, 2]
    assert all(not span.status.is_ok for span in found)
    assert found[0].events[0].attributes["exception.message"] == "no"


async def test_loads_nest_in_the_task_that_needs_them(spans, provider):
    async with SmartCache(10, name="users") as cache, AsyncProcessor() as processor:
        with provider.get_tracer("app").start_as_current_span("request") as request:
            await processor.process(cache.get_or_load, "k", double_later)
        await cache.get_or_load("k", double_later)  # a hit
    load, task, outer = spans()
    assert (load.name, task.name, outer.name) == ("raudo.cache.load", "raudo.task", "request")
    assert attributes(load) == {"cache": "users"}
    assert task.parent.span_id == request.get_span_context().span_id
    assert load.context.trace_id == task.context.trace_id == outer.context.trace_id


async def double_later(key):
    await asyncio.sleep(0)
    return 2 * key


def test_stages_of_an_analysis_are_spans(spans):
    documents = [f"document number {n}" for n in range(4)]
    DocumentAnalyzer().analyze(documents)
    found = {span.name: attributes(span) for span in spans()}
    assert found["raudo.analysis.duplicates"] == {"documents": 4}
    assert {"raudo.analysis.similar"} <= found.keys()


async def test_nothing_is_traced_before_or_after(provider):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with AsyncProcessor() as processor:
        await processor.process(double, 1)
        trace(provider)()
        await processor.process(double, 1)
    assert exporter.get_finished_spans() == ()


def test_later_call_wins_and_an_earlier_end_does_not_end_it(provider):
    first, second = trace(provider), trace(provider)
    first()
    assert _trace.begin is not None
    second()
    assert _trace.begin is None


class BrokenProvider:
    def get_tracer(self, *args):
        return self

    def start_as_current_span(self, name, attributes):
        raise RuntimeError("broken")


async def test_broken_tracer_does_not_break_the_task(caplog):
    end = trace(BrokenProvider())
    try:
        async with AsyncProcessor() as processor:
            with caplog.at_level(logging.ERROR, "raudo.monitoring"):
                assert await processor.process(double, 2) == 4
    finally:
        end()
    assert "could not begin" in caplog.text


async def test_cancellation_passes_through_a_span(spans):
    async with AsyncProcessor() as processor:
        task = asyncio.ensure_future(processor.process(asyncio.sleep, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await processor.process(asyncio.sleep, 10, timeout=0.01)
    assert len(spans()) == 2
