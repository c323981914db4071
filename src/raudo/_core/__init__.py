"""The compiled floor: one small extension per data structure. Imports nothing else of raudo."""
