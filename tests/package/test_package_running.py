"""The package is run as Azure runs it: from an empty folder, its own dependencies before any other."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import Api, Tenant, send_message

from local.packaging.audit import SITE_PACKAGES
from local.packaging.measure import alone
from local.processes import ROOT
from local.up import kit

if TYPE_CHECKING:
    from aiohttp import ClientSession

# Imported by the interpreter at its start; writes at its end where every module came from.
PROBE = """
import atexit, json, sys
def write_modules():
    found = {name: [getattr(m, "__file__", None), getattr(m, "__cached__", None)] for name, m in sys.modules.items()}
    with open(PLACE, "w") as file:
        json.dump(found, file)
atexit.register(write_modules)
"""


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def byte_code_faults(modules: dict[str, list[str | None]], folder: Path) -> list[str]:
    """Modules from the package whose byte code is missing or would be checked or refused."""
    faults = []
    for name, (file, cached) in modules.items():
        if file is None or not file.endswith(".py") or not Path(file).is_relative_to(folder):
            continue
        header = Path(cached or "").read_bytes()[:8] if cached and Path(cached).is_file() else b""
        if header != importlib.util.MAGIC_NUMBER + bytes([1, 0, 0, 0]):
            faults.append(name)
    return faults


@pytest.fixture(scope="module")
async def packaged(unpacked: Path, session: ClientSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """HTTP and queue used once from the package; the answers, and the modules of that process at its end."""
    probe = tmp_path_factory.mktemp("probe")
    (probe / "sitecustomize.py").write_text(PROBE.replace("PLACE", repr(str(probe / "modules.json"))))
    environment = {
        "PYTHONPATH": os.pathsep.join([str(probe), str(unpacked / SITE_PACKAGES)]),
        # A module without byte code must show: the interpreter may not write it beside the source.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    before = files_below(unpacked)
    async with kit(app=unpacked, environment=environment) as parts:
        api = Api(session, parts.address["functions"], parts.address["key"])
        over_http = await api.submit({"user": "adele@contoso.com", "reason": "from the package"})
        await send_message(parts.address["connectionString"], "bob@contoso.com")
        by_queue = await api.of_user("bob@contoso.com")
        served = await Tenant(session, parts.address["graph"]).served()
    return {
        "http": over_http,
        "queue": by_queue,
        "served": served,
        "modules": json.loads((probe / "modules.json").read_text()),
        "written": files_below(unpacked) - before,
    }


async def test_http_and_queue_work_from_the_package(packaged: dict[str, Any]) -> None:
    """A user over HTTP and one by queue message end verified, and the tenant revoked both."""
    assert packaged["http"].status == 200
    assert packaged["http"].user["status"] == packaged["queue"].user["status"] == "verified"
    assert len(packaged["served"]) == 2


async def test_the_app_and_its_dependencies_came_from_the_package(packaged: dict[str, Any], unpacked: Path) -> None:
    """Whatever the package holds was loaded from there, nothing of it from the project or a virtual environment."""
    places = (unpacked, unpacked / SITE_PACKAGES)
    tops = {path.name.removesuffix(".py").split(".")[0] for place in places for path in place.iterdir()}
    elsewhere = {
        name: file
        for name, (file, _) in packaged["modules"].items()
        if file and name.split(".")[0] in tops and not Path(file).is_relative_to(unpacked)
    }
    assert elsewhere == {}
    used = {name.split(".")[0] for name in packaged["modules"]}
    assert {"function_app", "revoke_core", "azure", "azure_functions_runtime", "msgraph", "aiohttp"} <= used & tops


async def test_no_module_of_a_cold_start_is_compiled_again(packaged: dict[str, Any], unpacked: Path) -> None:
    """Each module that HTTP and queue loaded has byte code that the interpreter takes unchecked; it wrote none."""
    assert len(packaged["modules"]) > 700
    assert byte_code_faults(packaged["modules"], unpacked) == []
    assert packaged["written"] == set()


def test_the_package_needs_nothing_but_the_standard_library(unpacked: Path) -> None:
    """App, runtime and Graph client load in an interpreter that has the package alone."""
    code = "import json, sys, azure_functions_runtime, function_app\nfunction_app.core().transport._built()\n"
    code += 'print(json.dumps({n: [getattr(m, "__file__", None), m.__dict__.get("__cached__")] '
    code += "for n, m in sys.modules.items()}))"
    environment = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "PATH": ""}
    done = subprocess.run(
        alone(unpacked, code), env=environment, cwd=unpacked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)
    assert byte_code_faults(modules, unpacked) == []
    assert not [name for name, (file, _) in modules.items() if file and Path(file).is_relative_to(ROOT)]
