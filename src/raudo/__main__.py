"""`python -m raudo` is the `raudo` command."""

import sys

from raudo.cli import main

if __name__ == "__main__":
    sys.exit(main())
