"""``python -m local.simulator`` is short for ``python -m local tenant``."""

import sys

from local.simulator.cli import main

sys.exit(main(sys.argv[1:]))
