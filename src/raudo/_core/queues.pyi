from typing import final

from raudo._core.policy import Policy

class Fifo(Policy):
    """First in, first out; hits and updates change nothing."""

@final
class Ttl(Fifo):
    """What expires first leaves first."""

@final
class Sieve(Policy):
    """SIEVE: a queue in which a hand passes over what was used since it last came by."""

@final
class S3Fifo(Policy):
    """S3-FIFO: a small queue for newcomers, a main one, and a ghost of what newcomers left."""
