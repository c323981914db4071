from typing import final

from typing_extensions import disjoint_base

from raudo._core.policy import Policy

class Fifo(Policy):
    """First in, first out; hits and updates change nothing."""

@final
class Ttl(Fifo):
    """What expires first leaves first."""

@disjoint_base
class TwoQueue(Policy):
    """Two queues and marks under some rule."""

@final
class Sieve(TwoQueue):
    """SIEVE: a queue in which a hand passes over what was used since it last came by."""

@final
class S3Fifo(TwoQueue):
    """S3-FIFO: a small queue for newcomers, a main one, and a ghost of what newcomers left."""
