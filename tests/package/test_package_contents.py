from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import zipfile
from email import message_from_string
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from local.packaging.app_files import app_files
from local.packaging.audit import SITE_PACKAGES, faults_of, pinned
from local.packaging.build import build
from local.packaging.errors import PackageError
from local.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

AZURE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "os_name": "posix"}
AZURE |= {"platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
AZURE |= {"platform_python_implementation": "CPython", "extra": ""}


def names_in(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as archive:
        return archive.namelist()


def altered(package: Path, folder: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of the app's part of a package with some files added, changed or (None) left out."""
    copy = folder / "altered.zip"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            if not name.startswith(SITE_PACKAGES) and name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            if content is not None:
                new.writestr(name, content)
    return copy


def metadata(unpacked: Path) -> dict[str, list[str]]:
    """What each packaged distribution requires, by ``name==version``."""
    found = {}
    for path in (unpacked / SITE_PACKAGES).glob("*.dist-info/METADATA"):
        headers = message_from_string(path.read_text())
        name = re.sub(r"[-_.]+", "-", headers["Name"]).lower()
        found[f"{name}=={headers['Version']}"] = headers.get_all("Requires-Dist", [])
    return found


def test_the_audit_finds_no_fault(package: Path) -> None:
    """No forbidden file, no stale byte code, nothing of a cold start uncompiled."""
    assert faults_of(package) == []


def test_the_app_is_what_git_would_not_ignore(package: Path, tmp_path: Path) -> None:
    """What func and azd would upload, reading .funcignore as git does, is the app in the package, file by file."""
    if shutil.which("git") is None:
        pytest.skip("git is the second opinion on .funcignore, and is not installed")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    git = ["git", f"--git-dir={tmp_path}/.git", f"--work-tree={ROOT}"]
    listed = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-from=.funcignore"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    inside = [name for name in names_in(package) if not name.startswith(SITE_PACKAGES) and not name.endswith(".pyc")]
    assert inside == sorted(listed.stdout.split())
    assert {"function_app.py", "host.json", "requirements.txt", "revoke_core/bootstrap.py"} <= set(inside)


def test_the_dependencies_are_the_pins_and_the_pins_are_whole(unpacked: Path) -> None:
    """Exactly the pinned versions are inside, and whatever one of them requires in Azure is among them."""
    found = metadata(unpacked)
    pins = pinned((ROOT / "requirements.txt").read_text())
    assert sorted(found) == sorted(f"{name}=={version}" for name, version in pins.items())
    for name, requirements in found.items():
        for requirement in map(Requirement, requirements):
            if requirement.marker is None or requirement.marker.evaluate(AZURE):
                needed = re.sub(r"[-_.]+", "-", requirement.name).lower()
                assert needed in pins, f"{name} requires {requirement}"
                assert requirement.specifier.contains(pins[needed], prereleases=True), f"{name} requires {requirement}"


def test_the_extension_modules_are_for_azure(package: Path) -> None:
    """Compiled parts are for Linux x86-64 and Python 3.13, or for any Python 3 of that platform."""
    compiled = [name for name in names_in(package) if re.search(r"\.(so|pyd|dll|dylib)$", name)]
    assert len(compiled) > 10
    for name in compiled:
        assert name.endswith((".cpython-313-x86_64-linux-gnu.so", ".abi3.so")), name


def entries(package: Path) -> dict[str, tuple[object, ...]]:
    """All that a zip holds of each file, its content by checksum and size."""
    with zipfile.ZipFile(package) as archive:
        return {
            one.filename: (one.CRC, one.file_size, one.compress_size, one.date_time, one.external_attr, one.extra)
            for one in archive.infolist()
        }


def test_two_builds_are_the_same_to_the_byte(package: Path, tmp_path: Path) -> None:
    """A checksum depends on what was built, not on when, where, or in which order.

    The second build leaves out the Graph SDK, 16,741 modules that pip unpacks like those of every other wheel: so it
    takes a few seconds. The names are sorted and each shared file has the same entry, so whole builds would agree.
    """
    root = project(tmp_path)
    pins = (ROOT / "requirements.txt").read_text()
    (root / "requirements.txt").write_text(re.sub(r"(?m)^msgraph-sdk==.*\n", "", pins))
    whole, again = entries(package), entries(build(root, tmp_path / "dist", print))
    sdk = (f"{SITE_PACKAGES}/msgraph/", f"{SITE_PACKAGES}/msgraph_sdk-")
    assert list(whole) == sorted(whole)
    assert list(again) == sorted(again)
    assert list(again) == [name for name in whole if not name.startswith(sdk)]
    assert {name for name in again if again[name] != whole[name]} == {"requirements.txt"}


def test_the_checksum_is_the_packages(package: Path) -> None:
    """``sha256sum --check`` accepts the file beside the package."""
    expected = package.with_name(f"{package.name}.sha256").read_text()
    assert expected == f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package.name}\n"


def test_it_is_small_enough_for_a_cold_start(package: Path) -> None:
    """At most 60 MB: an instance fetches it before it can answer."""
    assert package.stat().st_size < 60_000_000


@pytest.mark.parametrize(
    "name",
    [
        "local.settings.json",
        "local.settings.prod.json",
        ".env",
        "local/up.py",
        "tests/conftest.py",
        "infra/main.bicep",
        "integrations/logic-app/main.bicep",
        "requirements-dev.txt",
        "revoke_core/key.pem",
        "docs/limits.md",
        f"{SITE_PACKAGES}/httpx-0.28.1.dist-info/RECORD",
    ],
)
def test_the_audit_refuses_what_is_no_part_of_the_app(package: Path, tmp_path: Path, name: str) -> None:
    """Secrets, tests, the local kit, templates: none of it can be deployed by mistake."""
    assert faults_of(altered(package, tmp_path, {name: b"{}"}))[0] == f"forbidden: {name}"


def test_the_audit_refuses_stale_byte_code(package: Path, tmp_path: Path) -> None:
    """Of another Python, checked against a time, of another source, without a source, or not there."""
    place = "__pycache__/function_app.cpython-313.pyc"
    with zipfile.ZipFile(package) as archive:
        code = archive.read(place)
        source = archive.read("function_app.py")
    cases: list[tuple[dict[str, bytes | None], str]] = [
        ({place: b"\x00" + code[1:]}, f"stale byte code: {place} is of another Python"),
        ({place: code[:4] + bytes(4) + code[8:]}, f"stale byte code: {place} is checked against a time"),
        ({place: code[:4] + bytes([3, 0, 0, 0]) + code[8:]}, f"stale byte code: {place} is checked against a time"),
        ({"function_app.py": source + b"\n"}, f"stale byte code: {place} is of another source"),
        ({"function_app.py": None}, f"stale byte code: {place} has no source"),
        ({place: None}, "without byte code: function_app.py"),
    ]
    for changes, expected in cases:
        (fault,) = faults_of(altered(package, tmp_path, changes))
        assert fault.startswith(expected)


def project(folder: Path) -> Path:
    """A copy of what the builder reads."""
    for name in (".funcignore", ".python-version", "pyproject.toml", "function_app.py", "host.json"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "revoke_core", folder / "revoke_core", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.txt").write_text("idna==3.20\n")
    return folder


def test_a_stray_file_stops_the_build_with_its_name(tmp_path: Path) -> None:
    """What func or azd would upload beside the app is named before anything is built."""
    root = project(tmp_path)
    (root / "notes.txt").write_text("the admin's password is")
    (root / "revoke_core" / "export.csv").write_text("")
    with pytest.raises(PackageError, match=r"notes\.txt, revoke_core/export\.csv.*\n.*\.funcignore"):
        build(root, tmp_path / "dist", print)
    assert not list(tmp_path.glob("dist/*.zip"))


def test_secrets_and_leftovers_beside_the_app_stay_out(tmp_path: Path) -> None:
    """Settings with keys, virtual environments, caches and earlier packages are not the app."""
    root = project(tmp_path)
    before = app_files(root)
    for name in ("local.settings.json", ".env", ".venv/x.py", "dist/old.zip", "revoke_core/__pycache__/x.pyc"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("secret")
    assert app_files(root) == before


def test_another_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Byte code of another Python would be ignored in Azure, at every cold start and without a warning."""
    root = project(tmp_path)
    (root / ".python-version").write_text("3.99\n")
    with pytest.raises(PackageError, match=r"build with Python 3\.99"):
        build(root, tmp_path / "dist", print)


def test_a_pin_without_a_wheel_is_named(package: Path, tmp_path: Path) -> None:  # noqa: ARG001 -- needs the index too
    """A typing error in the pins ends the build with pip's own message, and leaves no package."""
    root = project(tmp_path)
    (root / "requirements.txt").write_text("idna==0.0.99\n")
    with pytest.raises(PackageError, match=r"(?s)pinned wheels for Linux x86-64, Python 3\.13.*idna==0\.0\.99"):
        build(root, tmp_path / "dist", print)
    assert not list(tmp_path.glob("dist/*"))


def test_an_index_that_does_not_answer_is_distinguished_from_a_missing_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the message names the network."""
    root = project(tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(PackageError, match="index does not answer; is there a network"):
        build(root, tmp_path / "dist", print)
