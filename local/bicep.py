"""``python -m local bicep``: ``infra/`` and ``integrations/``, checked and expanded by the compiler, without Azure.

Every file is held to its format and to the linter without one warning; everything is compiled; and each parameter file,
of ``infra``, ``tests/infra/sets`` and ``tests/integrations/sets``, is expanded by ``bicep snapshot`` into the resources
that a deployment would make. The results are committed (``tests/infra/*.json``, ``tests/integrations/*.json``), so the
tests need no compiler; a difference fails the check, ``--write`` takes it over.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from local.processes import ROOT

COMMITTED: Final = ROOT / "tests" / "infra"
FLOWS: Final = ROOT / "tests" / "integrations"
TEMPLATE: Final = "template.json"
_PATTERNS: Final = ("**/*.bicep", "**/*.bicepparam")
# Made up, and always the same: names and ids in the snapshots depend on them.
PLACE: Final = (
    *(
        "--subscription-id",
        "00000000-0000-4000-8000-000000000001",
        "--tenant-id",
        "00000000-0000-4000-8000-000000000002",
    ),
    *("--resource-group", "rg-revoker", "--location", "westeurope", "--deployment-name", "main"),
)
_LIMIT_SECONDS: Final = 180
_LINES_SHOWN: Final = 60


class CheckFailedError(Exception):
    """The compiler, its linter or a comparison found a fault; the message names it."""


def main(argv: list[str]) -> int:
    """Check, or write the committed results anew; also 0 when there is no compiler, which it prints."""
    parser = argparse.ArgumentParser(prog="python -m local bicep", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the committed results and the format anew")
    options = parser.parse_args(argv)
    compiler = find_compiler()
    if compiler is None:
        print("Bicep: skipped, for there is no bicep on the PATH; the tests read the committed snapshots.")
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(compiler, Path(folder))
            copy.check_format(write=options.write)
            copy.check_diagnostics()
            results = {folder: copy.expanded(folder) for folder in (COMMITTED, FLOWS)}
        for committed, texts in results.items():
            if options.write:
                write(texts, committed)
            else:
                compare(texts, committed)
    except CheckFailedError as problem:
        print(f"Bicep: {problem}", file=sys.stderr)
        return 1
    return 0


def find_compiler() -> str | None:
    """The compiler on the PATH, or one that is kept in ``shared/tools`` beside the repository."""
    beside = ROOT.parent / "shared" / "tools" / "bicep"
    return shutil.which("bicep") or (str(beside) if os.access(beside, os.X_OK) else None)


class Copy:
    """The Bicep files in a folder of their own: the compiler writes beside what it reads."""

    def __init__(self, compiler: str, folder: Path) -> None:
        self._compiler = compiler
        self._folder = folder
        for source in (ROOT / "infra", COMMITTED / "sets", ROOT / "integrations", FLOWS / "sets"):
            shutil.copytree(source, folder / source.relative_to(ROOT))
        # One set of rules; the compiler looks for it in the folders above a file.
        shutil.copy(ROOT / "infra" / "bicepconfig.json", folder / "integrations")

    def check_format(self, *, write: bool) -> None:
        """Hold each file to the compiler's own format, or put it there."""
        for pattern in _PATTERNS:
            self._run("format", "--pattern", pattern)
        for path in sorted(self._folder.rglob("*.bicep*")):
            original = ROOT / path.relative_to(self._folder)
            if path.is_file() and path.read_text() != original.read_text():
                if not write:
                    raise CheckFailedError(f"{original.relative_to(ROOT)} is not formatted; `bicep format` does it.")
                original.write_text(path.read_text())

    def check_diagnostics(self) -> None:
        """Lint and build everything: even a mistyped property of a resource is only a warning, so none is let pass."""
        for pattern in _PATTERNS:
            self._run("lint", "--pattern", pattern)
        for folder in ("infra", "integrations"):
            self._run("build", "--pattern", f"{folder}/**/*.bicep")

    def expanded(self, folder: Path) -> dict[str, str]:
        """The text of each file committed in a folder, made anew."""
        sets = sorted((self._folder / folder.relative_to(ROOT) / "sets").glob("*.bicepparam"))
        if folder == COMMITTED:
            sets += (self._folder / "infra").glob("*.bicepparam")
        with ThreadPoolExecutor(max_workers=os.process_cpu_count()) as pool:
            results = dict(pool.map(self._snapshot, sets))
        if folder == COMMITTED:
            results |= self._template()
        return results

    def _template(self) -> dict[str, str]:
        return {TEMPLATE: _text(template_facts(json.loads((self._folder / "infra" / "main.json").read_text())))}

    def _snapshot(self, parameters: Path) -> tuple[str, str]:
        self._run("snapshot", str(parameters), *PLACE)
        snapshot = json.loads(parameters.with_suffix(".snapshot.json").read_text())
        snapshot["predictedResources"].sort(key=lambda resource: json.dumps(resource, sort_keys=True))
        return f"{parameters.stem}.json", _text(snapshot)

    def _run(self, *arguments: str) -> None:
        # A developer's own variables must not leak into the parameter files.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "REVOKER_"))}
        done = subprocess.run(
            [self._compiler, *arguments],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode or done.stderr.strip():
            output = done.stderr + (done.stdout if done.returncode else "")
            raise CheckFailedError(f"`bicep {' '.join(arguments[:3])}` printed:\n{output}")


def template_facts(template: dict[str, Any]) -> dict[str, Any]:
    """What a snapshot does not hold: parameters with their defaults, outputs, and what waits for what."""
    return {
        "parameters": {name: given.get("defaultValue") for name, given in template["parameters"].items()},
        "outputs": sorted(template["outputs"]),
        "waitsFor": {
            name: sorted(module.get("dependsOn", []))
            for name, module in template["resources"].items()
            if module["type"] == "Microsoft.Resources/deployments"
        },
    }


def write(results: dict[str, str], folder: Path = COMMITTED) -> None:
    """Replace the results committed in a folder."""
    for old in folder.glob("*.json"):
        old.unlink()
    for name, text in results.items():
        (folder / name).write_text(text)


def compare(results: dict[str, str], folder: Path = COMMITTED) -> None:
    """Show the first differences to what is committed in a folder."""
    committed = {path.name: path.read_text() for path in folder.glob("*.json")}
    lines: list[str] = []
    for name in sorted(results.keys() | committed.keys()):
        old, new = committed.get(name, "").splitlines(), results.get(name, "").splitlines()
        lines += difflib.unified_diff(old, new, f"{folder.relative_to(ROOT)}/{name}", "expanded now", lineterm="", n=1)
    if lines:
        advice = "If that is what you want, take it over with `python -m local bicep --write`."
        raise CheckFailedError("\n".join(["the expansion has changed.", *lines[:_LINES_SHOWN], advice]))


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
