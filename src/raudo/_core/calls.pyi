# Nothing to be called: importing it gives `Cache` its `get`, `set` and `[]`.
