from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from local.processes import ROOT

FOLDER = ROOT / ".devcontainer"
SCRIPTS = ("setup", "parts")


def container() -> dict[str, Any]:
    """devcontainer.json, its comment lines taken out."""
    text = (FOLDER / "devcontainer.json").read_text()
    content: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return content


def script(name: str) -> str:
    return (FOLDER / name).read_text()


def test_python_and_node_are_those_of_the_project_and_ci() -> None:
    """What works in the container works in CI: one version of Python and of Node everywhere."""
    version = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(rf"mcr\.microsoft\.com/devcontainers/python:1-{re.escape(version)}-\w+", container()["image"])
    nodes = {
        step["with"]["node-version"]
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job.get("steps", [])
        if step.get("uses", "").startswith("actions/setup-node@")
    }
    assert {container()["features"]["ghcr.io/devcontainers/features/node:1"]["version"]} == nodes


def test_the_tools_are_pinned_and_those_of_ci() -> None:
    """Core Tools has an exact version; Bicep is put there by the script that CI uses; Azurite is the kit's."""
    assert re.search(r"azure-functions-core-tools@\d+\.\d+\.\d+\n", script("setup"))
    assert re.search(r"^\.ci/install-bicep ", script("setup"), re.MULTILINE)
    assert "local/azurite/node_modules/.bin/azurite " in script("parts")
    assert not re.search(r"@latest|npx |curl ", script("setup") + script("parts"))


def test_what_it_runs_exists() -> None:
    """The command after creation, the scripts, the make targets and the settings they copy are there."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert container()["postCreateCommand"] == ".devcontainer/setup"
    for name in SCRIPTS:
        assert os.access(FOLDER / name, os.X_OK)
        assert set(re.findall(r"^make (\w+)", script(name), re.MULTILINE)) <= targets
    assert "cp local.settings.sample.json local.settings.json" in script("setup")
    assert (ROOT / "local.settings.sample.json").exists()


def test_the_parts_listen_where_the_settings_look() -> None:
    """``func start`` with the copied settings finds the tenant, the identity and the storage."""
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    ports = {urlsplit(values[name]).port for name in ("GRAPH_ENDPOINT", "IDENTITY_ENDPOINT")}
    assert ports == {int(port) for port in re.findall(r"tenant --port (\d+)", script("parts"))}
    assert ports <= set(container()["forwardPorts"])
    assert f" --identity-header {values['IDENTITY_HEADER']} " in script("parts")
    # Azurite's own ports are those that this short form of a connection string means.
    assert values["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"
    assert not re.search(r"azurite .*-?-\w*[pP]ort", script("parts"))


@pytest.mark.parametrize(
    "path", [FOLDER / "setup", FOLDER / "parts", ROOT / ".ci" / "run", ROOT / ".ci" / "install-bicep"]
)
def test_the_scripts_are_sound(path: Any) -> None:
    """Each script parses, and ends at its first failing command."""
    bash = shutil.which("bash")
    assert bash
    assert subprocess.run([bash, "-n", path], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text()
