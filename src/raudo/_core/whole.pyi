# Nothing to be called from Python: importing it gives tables their part in garbage collection.
