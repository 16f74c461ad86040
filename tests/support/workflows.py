"""The definitions that ``integrations/`` ships, as a deployment with each parameter file would make them."""

from __future__ import annotations

import copy
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from workflow_engine import Connector, Run

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "integrations"
# Of definitions that call the API; the one of event-grid puts a message on the queue.
SETS = sorted(path.stem for path in (FOLDER / "sets").glob("*.bicepparam") if path.stem != "event-grid")


@cache
def expansion(name: str) -> dict[str, Any]:
    """The committed expansion of a parameter file."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def workflow(name: str) -> dict[str, Any]:
    """The only Logic App of an expansion; a copy, which a test may change."""
    (found,) = [one for one in expansion(name)["predictedResources"] if one["type"] == "Microsoft.Logic/workflows"]
    return copy.deepcopy(found)


def run(name: str, session: Any, connector: Connector, *, root: str, key: str = "", **more: Any) -> Run:
    """A run that is not started yet: the shipped definition with its parameters, against the local stack."""
    properties = workflow(name)["properties"]
    parameters = {parameter: given["value"] for parameter, given in properties["parameters"].items()}
    kinds = properties["definition"]["parameters"]
    # Secure parameters come from the key vault, the address from the deployment of the revoker.
    secrets = dict.fromkeys((one for one in parameters if kinds[one]["type"] == "SecureString"), key)
    address = {one: root for one in parameters if one.lower() == "revokerurl"}
    definition = more.pop("definition", properties["definition"])
    return Run(definition, parameters | secrets | address, session, connector, **more)


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 -- the parser calls it so
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.tables[-1][-1][-1] += data


def tables(html: str) -> list[list[dict[str, str]]]:
    """The tables of a mail or a comment, their rows by the names of the columns."""
    parser = _Cells()
    parser.feed(html)
    return [[dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for rows in parser.tables]
