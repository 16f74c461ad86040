"""How long the app's cold import takes from a package, beside ``import azure.functions`` from the same package."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Final

from local.packaging.audit import SITE_PACKAGES

FLOOR: Final = "import azure.functions"
APP: Final = "import function_app"
GRAPH: Final = "import function_app; function_app.core().transport._built()"


def measure(package: Path, rounds: int) -> dict[str, float]:
    """Medians in milliseconds over fresh processes, all kinds taken in turn, the empty interpreter taken off each.

    The processes know nothing but the standard library and the unpacked package: no virtual environment.
    """
    with tempfile.TemporaryDirectory(prefix="measured-") as folder:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(folder)
        taken: dict[str, list[float]] = {FLOOR: [], APP: [], GRAPH: []}
        for number in range(rounds + 1):
            empty = _seconds(folder, "pass")
            for code, times in taken.items():
                times.append((_seconds(folder, code) - empty) * 1000)
            if number == 0:
                # The first round warms the page cache.
                for times in taken.values():
                    times.clear()
        return {code: statistics.median(times) for code, times in taken.items()}


def alone(folder: Path | str, code: str) -> list[str]:
    """The command that runs ``code`` with the standard library and an unpacked package, and nothing else."""
    paths = [str(folder), str(Path(folder) / SITE_PACKAGES)]
    return [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"]


def _seconds(folder: str, code: str) -> float:
    begun = time.perf_counter()
    environment = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "PATH": ""}
    subprocess.run(alone(folder, code), env=environment, cwd=folder, check=True)
    return time.perf_counter() - begun
