from typing_extensions import disjoint_base

@disjoint_base
class Hooked:
    """Knows what its class and instance override."""
