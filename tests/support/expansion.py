"""The committed expansions of ``infra/``: what a deployment with each parameter set would make."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "infra"
SETS = ("default", "everything", "least-privilege", "main", "own-network", "private-entra", "without-grant")
NAMES: dict[str, Any] = json.loads((ROOT / "infra" / "names.json").read_text())


@cache
def document(name: str) -> dict[str, Any]:
    """A committed file: an expansion, or what else the compiler knows of the template."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def resources(name: str, kind: str | None = None) -> list[dict[str, Any]]:
    """The resources of one set, all or of one type."""
    found = document(name)["predictedResources"]
    return [resource for resource in found if kind in (None, resource["type"])]


def one(name: str, kind: str, ending: str = "") -> dict[str, Any]:
    """The only resource of a type whose name ends so."""
    found = [resource for resource in resources(name, kind) if resource.get("name", "").endswith(ending)]
    assert len(found) == 1, [resource.get("name") for resource in found]
    return found[0]


def properties(name: str, kind: str, ending: str = "") -> Any:
    """What is set on it."""
    return one(name, kind, ending)["properties"]


def app_settings(name: str) -> dict[str, str]:
    """The environment of the app."""
    return dict(properties(name, "Microsoft.Web/sites/config", "/appsettings"))


def bicep_files() -> list[Path]:
    """Every source of the deployment."""
    return sorted((ROOT / "infra").rglob("*.bicep"))
