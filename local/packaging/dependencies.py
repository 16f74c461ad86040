"""The pinned dependencies as wheels for the platform of Azure, whatever machine this is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from local.packaging.errors import IndexUnreachableError, PackageError

if TYPE_CHECKING:
    from pathlib import Path

# glibc 2.28 is of 2018, and no pinned wheel requires a newer one.
PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# What pip writes for this machine alone. RECORD has the hashes of scripts that name this machine's interpreter, so it
# would differ from one build to the next.
_OF_THIS_MACHINE: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_NO_ANSWER: Final = "after connection broken by"


def install(requirements: Path, target: Path, python: str) -> None:
    """Unpack the wheels of ``requirements`` into ``target``.

    The pins are taken whole: pip adds nothing by itself. ``python`` is the version in Azure, like ``3.13``.
    ``PackageError`` when pip is missing or a wheel is; ``IndexUnreachableError`` when nothing answers.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--no-deps", "--only-binary", ":all:", "--retries", "2"]
    command += ["--implementation", "cp", "--python-version", python]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    command += ["--target", str(target), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode == 0:
        _drop_what_is_of_this_machine(target)
        return
    if "No module named pip" in done.stderr:
        raise PackageError(f"{sys.executable} has no pip: run `{sys.executable} -m ensurepip`, then try again.")
    lines = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING: Retrying"))]
    output = "\n".join(lines[-5:]) or done.stderr[-2000:]
    if _NO_ANSWER in done.stderr:
        raise IndexUnreachableError(f"The package index does not answer; is there a network, or a proxy?\n{output}")
    raise PackageError(f"pip could not fetch the pinned wheels for Linux x86-64, Python {python}:\n{output}")


def _environment() -> dict[str, str]:
    # A target of the user's own pip configuration would win over ours.
    return {name: value for name, value in os.environ.items() if name not in ("PIP_TARGET", "PIP_USER", "PIP_PREFIX")}


def _drop_what_is_of_this_machine(target: Path) -> None:
    shutil.rmtree(target / "bin", ignore_errors=True)
    for folder in target.glob("*.dist-info"):
        for name in _OF_THIS_MACHINE:
            (folder / name).unlink(missing_ok=True)
