class Table:
    """The compiled base of `Cache`: entries, index, expiry and the bookkeeping of what leaves."""
