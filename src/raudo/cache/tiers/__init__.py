"""Cache levels below L1: keys are bytes, values are blobs.

A level of your own follows `raudo.types.Tier`, may be registered under the entry point group
`raudo.tiers`, and is proven by `raudo.testing.tier`.
"""

from raudo.cache.tiers.compressed import CompressedTier
from raudo.cache.tiers.disk import DiskTier, ScratchTier

__all__ = ["CompressedTier", "DiskTier", "ScratchTier"]
