"""Notices of alerts: what arrives, in which order, and who waits when it does not."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest

from monitoring.http_sink import HttpSink
from raudo.errors import Closed
from raudo.monitoring import Alert, AlertRule, Monitor
from raudo.monitoring.notify import Background, Webhook, alertmanager_payload, log_alert
from raudo.testing import FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)


def alert(rule="r", active=True, **fields):
    return Alert(rule, "m", (("cache", "a"),), 2.0, 1.0, 10**18, active, **fields)


def wait_until(claim, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not claim():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def test_alerts_are_delivered_in_order_and_elsewhere():
    got, threads = [], set()

    def deliver(each):
        got.append(each.rule)
        threads.add(threading.current_thread())

    background = Background(deliver)
    for n in range(50):
        background(alert(str(n)))
    background.close()
    assert got == [str(n) for n in range(50)]
    assert threading.current_thread() not in threads
    assert background.n_delivered == 50


def test_failed_delivery_is_tried_again_and_given_up_in_the_end(caplog):
    attempts = []

    def deliver(each):
        attempts.append(each.rule)
        if each.rule == "never" or attempts.count(each.rule) < 3:
            raise OSError("down")

    background = Background(deliver, retries=2, backoff=0.001)
    for rule in ("late", "never", "late2"):
        background(alert(rule))
    background.close()
    assert attempts == ["late"] * 3 + ["never"] * 3 + ["late2"] * 3
    counts = {sample.name: sample.value for sample in background.samples()}
    assert counts == {
        "raudo_alerts_delivered_total": 2,
        "raudo_alerts_dropped_total": 1,
        "raudo_alerts_failures_total": 7,
    }
    assert "could not deliver never is on" in caplog.text


def test_delivery_that_hangs_holds_up_nobody():
    entered, leave = threading.Event(), threading.Event()

    def deliver(each):
        entered.set()
        leave.wait()

    background = Background(deliver, max_queue=3)
    source = [Sample("m", "gauge", 9.0)]

    class Component:
        def samples(self):
            return source

    component = Component()
    rule = AlertRule("r", "m", above=1)
    monitor = Monitor(component, rules=[rule], on_alert=background, process=False)
    began = time.monotonic()
    for _ in range(10):
        source[0] = Sample("m", "gauge", 9.0)
        monitor.check()
        source[0] = Sample("m", "gauge", 0.0)
        monitor.check()
    background.close(timeout=0.05)
    assert time.monotonic() - began < 5.0
    assert entered.wait(5)
    assert background.n_dropped == 20 - 3 - 1
    leave.set()


def test_idle_thread_goes_and_comes_back():
    got = []
    background = Background(got.append)
    background(alert("a"))
    wait_until(lambda: len(got) == 1)
    wait_until(lambda: background._thread is None)
    background(alert("b"))
    background.close()
    assert [each.rule for each in got] == ["a", "b"]


def test_forked_child_delivers_for_itself():
    read, write = os.pipe()
    background = Background(lambda each: os.write(write, each.rule.encode()))
    background(alert("p"))
    wait_until(lambda: background.n_delivered == 1)
    pid = os.fork()
    if pid == 0:
        background(alert("c"))
        background.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"pc"
    os.close(read)
    os.close(write)


def test_what_is_closed_says_so():
    background = Background(print)
    background.close()
    with pytest.raises(Closed):
        background(alert())


def test_webhook_posts_what_alertmanager_would():
    with HttpSink() as sink:
        hook = Webhook(sink.url, headers={"X-Token": "t"})
        hook(alert(severity="critical", summary="Too high."))
        hook(alert(active=False, ended_ns=10**18 + 10**9))
        hook.close()
    began, ended = sink.posted
    assert began["status"] == "firing"
    assert began["alerts"][0]["labels"] == {
        "cache": "a",
        "alertname": "r",
        "severity": "critical",
    }
    assert began["alerts"][0]["annotations"] == {"summary": "Too high.", "value": "2"}
    assert began["alerts"][0]["startsAt"] == "2001-09-09T01:46:40Z"
    assert began["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert (ended["status"], ended["alerts"][0]["endsAt"]) == ("resolved", "2001-09-09T01:46:41Z")
    assert sink.headers[0]["X-Token"] == "t"
    assert sink.headers[0]["Content-Type"] == "application/json"


def test_webhook_tries_again_what_may_pass():
    with HttpSink(answers=[500, 429, 302, 200]) as sink:
        hook = Webhook(sink.url, backoff=0.001)
        hook(alert())
        hook.close()
    assert len(sink.posted) == 4
    assert (hook.n_delivered, hook.n_failed, hook.n_dropped) == (1, 3, 0)


def test_webhook_gives_up_at_once_what_is_refused(caplog):
    with HttpSink(answers=[404, 200]) as sink:
        hook = Webhook(sink.url, backoff=0.001)
        hook(alert("refused"))
        hook(alert("next"))
        hook.close()
    assert [each["alerts"][0]["labels"]["alertname"] for each in sink.posted] == ["refused", "next"]
    assert (hook.n_delivered, hook.n_dropped) == (1, 1)
    assert "status 404" in caplog.text


def test_webhook_that_never_answers_is_tried_again_after_its_timeout():
    with HttpSink(answers=[0, 200]) as sink:
        hook = Webhook(sink.url, timeout=0.1, backoff=0.001)
        hook(alert())
        hook.close()
        assert len(sink.posted) == 2
        assert hook.n_delivered == 1


def test_webhook_to_nobody_counts_its_failures():
    hook = Webhook("http://127.0.0.1:9/", retries=1, backoff=0.001)
    hook(alert())
    hook.close()
    assert (hook.n_failed, hook.n_dropped) == (2, 1)


def test_payload_may_be_another():
    with HttpSink() as sink:
        hook = Webhook(sink.url, payload=lambda each: {"text": str(each)})
        hook(alert())
        hook.close()
    assert sink.posted == [{"text": "r is on: m{cache=a} = 2, bound 1"}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Webhook("ftp://x"), "url is 'ftp://x'"),
        (lambda: Webhook("http://x", timeout=0), "timeout is 0"),
        (lambda: Background(print, retries=-1), "retries is -1"),
        (lambda: Background(print, backoff=0), "backoff is 0"),
        (lambda: Background(print, max_queue=0), "max_queue is 0"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_log_has_the_level_of_the_alert(caplog):
    with caplog.at_level(logging.INFO, "raudo.monitoring.alerts"):
        log_alert(alert())
        log_alert(alert(severity="critical"))
        log_alert(alert(active=False))
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "INFO"]


def test_labels_of_an_alert_are_no_match_for_its_name():
    odd = Alert("r", "m", (("alertname", "x"),), 1, 0, FakeClock().time_ns())
    assert alertmanager_payload(odd)["commonLabels"]["alertname"] == "r"
