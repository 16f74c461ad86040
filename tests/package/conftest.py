"""One package for the run, built as `make package` builds it, and one folder with what it holds."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from local.packaging.build import build
from local.packaging.errors import IndexUnreachableError
from local.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(ROOT, tmp_path_factory.mktemp("dist"), print)
    except IndexUnreachableError as problem:
        if os.environ.get("CI"):
            raise
        # Everything else of this project is tested without a network, and CI always has one.
        pytest.skip(f"the wheels for Azure cannot be fetched without a network: {problem}")


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wwwroot")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder
