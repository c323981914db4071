"""Write rows to files: streaming, compressed, in parallel parts, whole or not at all.

    rows -> format (formats/) -> compression -> sink (sinks/)

A format and a sink are seams: see `raudo.types.Format` and `raudo.types.Sink`.
"""

from raudo.export.pipeline import ExportResult, export, export_async

__all__ = ["ExportResult", "export", "export_async"]
