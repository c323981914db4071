"""The contract of an exporter: what `Monitor` relies on.

Derive a test class, say how to make an exporter, and how to read what it delivered:

    class TestMyExporter(ExporterContract):
        def make(self):
            return MyExporter(...)

        def delivered(self, exporter):
            return {name: value for name, value in ...}
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from raudo.errors import Closed
from raudo.types import Exporter, Sample

__all__ = ["ExporterContract"]


class ExporterContract:
    """Tests for pytest, or for a `unittest.TestCase` that derives from both."""

    def make(self) -> Exporter:
        """Return a new exporter, ready to be used."""
        raise AssertionError(f"{type(self).__name__} has no make()")

    def delivered(self, exporter: Exporter) -> Mapping[str, float]:
        """Return what arrived, by the name of the sample; for a counter its total.

        Called before `close`, for samples without labels.
        """
        raise AssertionError(f"{type(self).__name__} has no delivered()")

    def test_it_has_a_name(self) -> None:
        exporter = self.make()
        assert isinstance(exporter.name, str)
        assert exporter.name
        exporter.close()

    def test_values_arrive(self) -> None:
        exporter = self.make()
        exporter.export(
            [
                Sample("raudo_contract_things_total", "counter", 3),
                Sample("raudo_contract_level", "gauge", -1.5),
            ]
        )
        arrived = self.delivered(exporter)
        assert arrived["raudo_contract_things_total"] == 3
        assert arrived["raudo_contract_level"] == -1.5
        exporter.close()

    def test_later_values_replace_earlier_ones(self) -> None:
        exporter = self.make()
        for count, level in ((3, 1.0), (3, 1.0), (10, 0.25)):
            exporter.export(
                [
                    Sample("raudo_contract_things_total", "counter", count),
                    Sample("raudo_contract_level", "gauge", level),
                ]
            )
        arrived = self.delivered(exporter)
        assert arrived["raudo_contract_things_total"] == 10
        assert arrived["raudo_contract_level"] == 0.25
        exporter.close()

    def test_nothing_is_a_snapshot_too(self) -> None:
        exporter = self.make()
        exporter.export([])
        exporter.close()

    def test_unusual_samples_are_taken(self) -> None:
        exporter = self.make()
        labels = (
            ("text", 'quote " backslash \\ newline \n pipe | comma , hash # é'),
            ("empty", ""),
        )
        samples = tuple(
            Sample(
                f"raudo_contract_{name}", "gauge", value, labels, 'Help with "quotes"\nand lines.'
            )
            for name, value in (
                ("nan", math.nan),
                ("infinite", math.inf),
                ("huge", 1e308),
                ("tiny", 5e-324),
                ("long", 2**70),
                ("true", True),
            )
        )
        before = list(samples)
        exporter.export(samples)
        exporter.export(samples)
        assert list(samples) == before
        exporter.close()

    def test_parts_of_a_histogram_are_taken(self) -> None:
        exporter = self.make()
        for count in (3, 5):
            exporter.export(
                [
                    Sample("raudo_contract_seconds_bucket", "histogram", 1, (("le", "0.5"),)),
                    Sample("raudo_contract_seconds_bucket", "histogram", count, (("le", "+Inf"),)),
                    Sample("raudo_contract_seconds_sum", "histogram", 0.75 * count),
                    Sample("raudo_contract_seconds_count", "histogram", count),
                ]
            )
        exporter.close()

    def test_series_may_come_and_go(self) -> None:
        exporter = self.make()
        for labels in (("a",), ("a", "b"), ("b",), ()):
            exporter.export(
                [Sample("raudo_contract_level", "gauge", 1.0, (("of", each),)) for each in labels]
            )
        exporter.close()

    def test_many_samples_are_taken(self) -> None:
        exporter = self.make()
        exporter.export(
            [Sample("raudo_contract_level", "gauge", i, (("number", str(i)),)) for i in range(2000)]
        )
        exporter.close()

    def test_close_is_final_and_may_be_repeated(self) -> None:
        exporter = self.make()
        exporter.close()
        exporter.close()
        try:
            exporter.export([])
        except Closed:
            pass
        else:
            raise AssertionError("export after close did not raise raudo.errors.Closed")
