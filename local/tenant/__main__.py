"""Starts the simulator: `python -m local.tenant`."""

import sys

from local.tenant.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
