"""Sends samples over UDP in the DogStatsD dialect of statsd: `name:value|kind|#label:value`.

The DataDog agent, Telegraf, Vector and the Prometheus statsd exporter understand it. Gauges are
sent as they are, counters as their increase since the last export (from 0 on at first). Nothing
blocks: a datagram that the system does not take at once is dropped and counted.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Mapping, Sequence

from raudo.errors import Closed
from raudo.monitoring._ports import check_port
from raudo.monitoring.series import is_bucket
from raudo.types import Sample

__all__ = ["StatsdExporter"]

# What fits a packet of an Ethernet network with IP and UDP headers, with room for a tunnel.
_MOST_BYTES = 1432


class StatsdExporter:
    """Send samples to a statsd server.

    Args:
        host: Resolved once, here.
        port: UDP port.
        prefix: Put before each name: `"shop."`.
        tags: Labels for every sample, such as `{"env": "prod"}`.
    """

    name = "statsd"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8125,
        *,
        prefix: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(host, str):
            raise TypeError(f"host is {host!r}, wanted a str")
        check_port(port)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        self._address = address
        self._prefix = prefix
        self._tags = tuple((tags or {}).items())
        self._last: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.n_dropped = 0  # datagrams
        self._socket: socket.socket | None = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def export(self, samples: Sequence[Sample]) -> None:
        """Send what changed of the counters, and every gauge."""
        if self._socket is None:
            raise Closed("the statsd exporter is closed")
        packet = b""
        for sample in samples:
            line = self._line(sample)
            if line is None:
                continue
            if packet and len(packet) + 1 + len(line) > _MOST_BYTES:
                self._send(packet)
                packet = b""
            packet = packet + b"\n" + line if packet else line
        if packet:
            self._send(packet)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _line(self, sample: Sample) -> bytes | None:
        if not math.isfinite(sample.value) or is_bucket(sample):
            return None
        value, kind = +sample.value, "g"  # +: True is 1
        if sample.kind != "gauge":
            series = sample.name, sample.labels
            value, kind = sample.value - self._last.get(series, 0), "c"
            self._last[series] = sample.value
            if value < 0:  # the component was replaced and counts from 0 again
                value = sample.value
            if not value:
                return None
        tags = ",".join(
            f"{_clean(key)}:{_clean(text)}" for key, text in (*self._tags, *sample.labels)
        )
        line = f"{self._prefix}{sample.name}:{value!r}|{kind}" + (f"|#{tags}" if tags else "")
        return line.encode()

    def _send(self, packet: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(packet, self._address)
        except OSError:  # a full buffer, or nobody there: the next gauges tell again
            self.n_dropped += 1


def _clean(text: str) -> str:
    """Replace what the line format uses itself."""
    return re.sub(r"[\s|,#]", "_", text)
