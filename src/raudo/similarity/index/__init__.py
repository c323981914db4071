"""Vector indexes: rows kept by id, searched many times."""
