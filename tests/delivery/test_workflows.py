from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from local.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Whatever a job may write, with the workflow and job that needs it.
WRITES = {
    ("release.yml", "build", "id-token"),
    ("release.yml", "build", "attestations"),
    ("release.yml", "publish", "contents"),
    ("deploy.yml", "deploy", "id-token"),
}
# On GitHub's runners; everything else a step calls must be in this repository.
TOOLS = {"az", "bicep", "curl", "echo", "gh", "sha256sum", "test"}
PINNED = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w.-]+)*@[0-9a-f]{40}")

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads the key ``on`` as true."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job.get("steps", [])]


def unpinned(text: str) -> list[str]:
    """Actions of a workflow's text that can change under their name: no whole commit, or no version beside it."""
    used = re.findall(r"^\s*-?\s*uses: *(\S+)(.*)$", text, re.MULTILINE)
    return [
        action
        for action, comment in used
        if not action.startswith("./")
        and not (PINNED.fullmatch(action) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment))
    ]


def commands(step: dict[str, Any]) -> list[str]:
    """The first word of each command of a step, and of what stands in ``$(...)``."""
    lines = re.split(r"\n|&&|\|\||\$\(", step.get("run", ""))
    return [line.split()[0] for line in lines if line.strip() and not re.fullmatch(r"\s*\w+=", line)]


@every_workflow
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code; a whole commit cannot, and the version beside it can be read."""
    assert unpinned(path.read_text()) == []
    assert len(re.findall(r"uses:", path.read_text())) == len(
        [step for step in steps(path) if "uses" in step] + [job for job in read(path)["jobs"].values() if "uses" in job]
    )


@pytest.mark.parametrize(
    "line",
    [
        "- uses: actions/checkout@v6",
        "- uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd",
        "- uses: actions/checkout@de0fac2e4500 # v6.0.2",
        "uses: actions/checkout@main # v6.0.2",
        "- uses: actions/checkout",
    ],
)
def test_a_loose_pin_is_seen(line: str) -> None:
    """Tags, branches, short commits and commits without a version are distinguished from pins."""
    assert len(unpinned(f"    steps:\n      {line}\n")) == 1


def test_an_action_has_one_commit_everywhere() -> None:
    """One version of each action, so that one update covers all."""
    found = {
        tuple(step["uses"].split("@")) for path in WORKFLOWS for step in steps(path) if "@" in step.get("uses", "")
    }
    assert len(found) == len({name for name, _ in found})


@every_workflow
def test_permissions_are_the_least(path: Path) -> None:
    """Reading is all a workflow may; whatever more a job may is written at the job, and expected here."""
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        granted = job.get("permissions", {})
        assert set(granted.values()) <= {"read", "write"}
        writes = {(path.name, name, scope) for scope, level in granted.items() if level == "write"}
        assert writes == {entry for entry in WRITES if entry[:2] == (path.name, name)}


@every_workflow
def test_there_is_no_secret(path: Path) -> None:
    """No workflow asks for a stored secret; the token of the run itself is enough."""
    assert set(re.findall(r"secrets\.(\w+)", path.read_text())) <= {"GITHUB_TOKEN"}
    assert not re.search(r"secrets:\s*inherit|creds:|publish-profile", path.read_text())


@every_workflow
def test_jobs_end_and_do_not_overtake_each_other(path: Path) -> None:
    """Each job has a time limit, each workflow a concurrency group."""
    workflow = read(path)
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert "uses" in job or 0 < job["timeout-minutes"] <= 60


@every_workflow
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    """What runs after the checkout, dependencies included, finds no credentials in .git."""
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


@every_workflow
def test_foreign_text_never_becomes_a_command(path: Path) -> None:
    """Inputs, branch names and variables reach commands through the environment alone."""
    for step in steps(path):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_what_the_steps_call_exists(path: Path) -> None:
    """Scripts are in the repository and executable, make targets in the Makefile, the rest on the runner."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(path):
        for command in commands(step):
            script = ROOT / command
            assert command in TOOLS | {"make"} or (script.is_file() and os.access(script, os.X_OK)), command
        for target in re.findall(r"\bmake (\S+)", step.get("run", "")):
            assert target in targets
        assert commands(step) or "uses" in step


@every_workflow
def test_python_is_the_projects(path: Path) -> None:
    """One file names the version of Python, and what runs is what it names."""
    for step in steps(path):
        if step.get("uses", "").startswith("actions/setup-python@"):
            assert step["with"]["python-version-file"] == ".python-version"
            assert "python-version" not in step["with"]


def test_deploying_is_by_hand_and_behind_an_environment() -> None:
    """Nothing but a person starts it, and the environment's reviewers stand before it."""
    workflow = read(ROOT / ".github" / "workflows" / "deploy.yml")
    assert set(workflow["on"]) == {"workflow_dispatch"}
    assert workflow["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"


def test_the_environments_variables_are_documented() -> None:
    """The page of the package names every variable that an environment needs."""
    names = re.findall(r"vars\.(\w+)", (ROOT / ".github" / "workflows" / "deploy.yml").read_text())
    assert names
    page = (ROOT / "docs" / "package.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_a_release_is_tested_before_it_is_built() -> None:
    """The commit of a tag passes what every change passes."""
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("test", "build")
    assert "workflow_call" in read(ROOT / ".github" / "workflows" / "ci.yml")["on"]


def test_dependabot_looks_where_there_are_pins() -> None:
    """Python, npm, actions and the dev container are watched, in folders that have them."""
    watched = {
        entry["package-ecosystem"]: entry["directory"]
        for entry in yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    }
    assert watched == {"pip": "/", "npm": "/local/azurite", "github-actions": "/", "devcontainers": "/"}
    assert (ROOT / "local" / "azurite" / "package-lock.json").exists()


def test_a_compiler_that_is_not_the_pinned_one_is_not_installed(tmp_path: Path) -> None:
    """A download with another checksum stops CI and leaves nothing to run."""
    served = 'while [ "$1" != --output ]; do shift; done; echo other > "$2"; echo "$3" > "$0.url"'
    (tmp_path / "curl").write_text(f"#!/bin/sh\n{served}\n")
    (tmp_path / "curl").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / ".ci" / "install-bicep", tmp_path / "bin"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "nothing was installed" in done.stderr
    assert not (tmp_path / "bin").exists()
    assert (tmp_path / "curl.url").read_text().startswith("https://github.com/Azure/bicep/releases/download/v0.")
