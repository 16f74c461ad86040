"""``python -m local openapi``: the API's descriptions, made from the tables that the app reads bodies by.

Three files are committed: ``docs/openapi.json`` (OpenAPI 3.0.1), the same in the package as the app serves it, and the
connector's ``integrations/power-automate``. A difference fails the check, ``--write`` takes it over.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tomllib
from typing import TYPE_CHECKING, Any, Final

from local.openapi import connector
from local.openapi.document import document
from local.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SERVED: Final = "revoke_core/openapi.json"
DOCUMENT: Final = "docs/openapi.json"
SWAGGER: Final = "integrations/power-automate/apiDefinition.swagger.json"
PROPERTIES: Final = "integrations/power-automate/apiProperties.json"
_LINES_SHOWN: Final = 40


def main(argv: list[str], root: Path = ROOT) -> int:
    """Compare the committed files with the tables, or write them anew."""
    parser = argparse.ArgumentParser(prog="python -m local openapi", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files anew")
    options = parser.parse_args(argv)
    if options.write:
        for name, text in made().items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return 0
    if lines := differences(root):
        advice = "If that is what you want, take it over with `python -m local openapi --write`."
        print("\n".join(["OpenAPI: the tables have changed.", *lines[:_LINES_SHOWN], advice]), file=sys.stderr)
    return 1 if lines else 0


def made() -> dict[str, str]:
    """The text of each file, by its path in the repository."""
    openapi = document(_version())
    return {
        DOCUMENT: _text(openapi),
        # The same, without a line for each member: it is read by the app, and by no person.
        SERVED: json.dumps(openapi, ensure_ascii=False, separators=(",", ":")) + "\n",
        SWAGGER: _text(connector.swagger(openapi)),
        PROPERTIES: _text(connector.properties()),
    }


def differences(root: Path) -> list[str]:
    """How the files below a folder differ from the tables, as lines of a diff."""
    lines: list[str] = []
    for name, text in made().items():
        path = root / name
        old = path.read_text().splitlines() if path.exists() else []
        lines += [line[:200] for line in difflib.unified_diff(old, text.splitlines(), name, "made now", "", "", 1, "")]
    return lines


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
