"""Adapters to frameworks, each importing its framework alone and only when it is used itself."""
