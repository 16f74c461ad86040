"""``python -m local.tenant`` is short for ``python -m local tenant``."""

import sys

from local.tenant.cli import main

sys.exit(main(sys.argv[1:]))
