"""Documents from files: folders, archives, lines, tables, columns, standard input.

    paths -> entries (a file, a table, an archive) -> batches of documents

Whatever cannot be used is counted with its reason in a `Tally`; nothing that a file holds is fatal
to the rest. A new kind of file is a reader: a function of an open binary file that yields batches.
"""

from raudo.analysis.sources.decoding import decode
from raudo.analysis.sources.files import FileSource
from raudo.analysis.sources.tally import Tally

__all__ = ["FileSource", "Tally", "decode"]
