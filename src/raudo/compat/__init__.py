"""Stand-ins for other libraries: change the import, keep the code.

`import raudo.compat.cachetools as cachetools` is the whole migration from cachetools.
"""

from __future__ import annotations
