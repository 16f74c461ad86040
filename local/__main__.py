"""``python -m local COMMAND``: one entry for every part of the local kit."""

from __future__ import annotations

import importlib
import sys
from typing import Final

COMMANDS: Final = {
    "tenant": ("local.simulator.cli", "a Microsoft Graph and managed-identity simulator"),
    "storage": ("local.storage", "Azurite: queue and table storage"),
    "host": ("local.host.cli", "runs function_app.py through Microsoft's Functions runtime"),
    "up": ("local.up", "all three, staying up"),
    "receiver": ("local.receiver", "takes callbacks, verifies and shows them"),
    "demo": ("local.demo", "all three, the main job end to end, then the status log"),
    "bicep": ("local.bicep", "checks and expands infra/ and integrations/ with the Bicep compiler, without Azure"),
    "openapi": ("local.openapi.cli", "makes the API's descriptions from the tables that bodies are read by"),
    "bench": ("local.bench.cli", "the budgets as ratios, measured side by side"),
    "chaos": ("local.chaos.cli", "hosts killed at every point; the tenant's log compared with the tables"),
    "package": ("local.packaging.cli", "builds the zip that Azure runs"),
}


def main(argv: list[str]) -> int:
    """Run a command; each is imported only when it is called."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m local COMMAND [--help]\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:8} {purpose}")
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f"There is no command {argv[0]!r}; there are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    command = importlib.import_module(COMMANDS[argv[0]][0])
    return int(command.main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
