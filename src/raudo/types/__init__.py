"""Every protocol and record that crosses a wall between rooms, a file for each room.

Seams are `Protocol`s, so that a plug-in needs no base class; data is a frozen, slotted dataclass or
a `NamedTuple`. Nothing here does work or imports a room.
"""

from raudo.types.cache import (
    Blob,
    Codec,
    EvictionPolicy,
    EvictReason,
    Lease,
    LeasedBlob,
    LeasingTier,
    PartedTier,
    Serializer,
    SharedTags,
    SharedTier,
    Tier,
    TierStats,
    UnwatchedBlob,
)
from raudo.types.concurrency import Outcome, Task
from raudo.types.export import Format, Sink, Writer
from raudo.types.monitoring import Distribution, Exporter, Sample, Sampled
from raudo.types.queues import Message, MessageSource, SeenKeys
from raudo.types.similarity import Index, Matches, RangeMatches

__all__ = [
    "Blob",
    "Codec",
    "Distribution",
    "EvictReason",
    "EvictionPolicy",
    "Exporter",
    "Format",
    "Index",
    "Lease",
    "LeasedBlob",
    "LeasingTier",
    "Matches",
    "Message",
    "MessageSource",
    "Outcome",
    "PartedTier",
    "RangeMatches",
    "Sample",
    "Sampled",
    "SeenKeys",
    "Serializer",
    "SharedTags",
    "SharedTier",
    "Sink",
    "Task",
    "Tier",
    "TierStats",
    "UnwatchedBlob",
    "Writer",
]
