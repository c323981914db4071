def register_errors(pool_error: type[ValueError], exhausted: type[TimeoutError]) -> None:
    """Raise these (a ValueError, a TimeoutError) for wrong releases, and where the limit is reached."""
