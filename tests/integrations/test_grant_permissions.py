"""``grant-permissions.sh``, with a stand-in for az on the PATH that notes what it is asked for."""

import subprocess
from pathlib import Path

import pytest
from workflows import ROOT

SCRIPT = ROOT / "integrations" / "sentinel-playbook" / "grant-permissions.sh"
WORKSPACE = "/subscriptions/s/resourceGroups/rg-soc/providers/Microsoft.OperationalInsights/workspaces/law-soc"
AZ = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$(dirname "$0")/calls"
case "$*" in
  "resource show"*) echo the-identity ;;
  "group show"*) echo /subscriptions/s/resourceGroups/rg-playbooks ;;
  *"--query appRoles"*) echo the-role ;;
  "ad sp show"*) echo "sp-of-$5" ;;
  "rest --method get"*) cat "$(dirname "$0")/assigned" ;;
esac
"""


@pytest.fixture
def az(tmp_path: Path) -> Path:
    (tmp_path / "az").write_text(AZ)
    (tmp_path / "az").chmod(0o755)
    (tmp_path / "assigned").write_text("0\n")
    (tmp_path / "calls").touch()
    return tmp_path


def granted(az: Path, *arguments: str, code: int = 0) -> list[str]:
    """What az was asked for."""
    environment = {"PATH": f"{az}:/usr/bin:/bin"}
    done = subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return (az / "calls").read_text().splitlines()


def test_the_playbook_may_comment_and_be_started(az: Path) -> None:
    """Two roles in Azure, each on one group, and nothing in Graph where keys are used."""
    calls = granted(az, "--group", "rg-playbooks", "--playbook", "Revoke", "--workspace", WORKSPACE)
    roles = [call for call in calls if call.startswith("role assignment create")]
    assert len(roles) == 2
    assert "Microsoft Sentinel Responder --assignee-object-id the-identity" in roles[0]
    assert "--scope /subscriptions/s/resourceGroups/rg-soc " in roles[0]
    sentinel = "sp-of-98785600-1bb7-4fb9-b9fa-19afe2c8a360"
    assert f"Microsoft Sentinel Automation Contributor --assignee-object-id {sentinel}" in roles[1]
    assert "--scope /subscriptions/s/resourceGroups/rg-playbooks " in roles[1]
    assert not [call for call in calls if call.startswith("rest")]


def test_with_entra_authentication_it_gets_the_role_once(az: Path) -> None:
    """The app role to submit, and no other; a second run finds it and posts nothing."""
    arguments = ("--group", "g", "--playbook", "Revoke", "--workspace", WORKSPACE, "--audience", "the-client")
    posts = [call for call in granted(az, *arguments) if "--method post" in call]
    assert len(posts) == 1
    assert '"appRoleId": "the-role"' in posts[0]
    assert "appRoles[?value=='Revocations.Submit']" in (az / "calls").read_text()
    (az / "assigned").write_text("1\n")
    (az / "calls").write_text("")
    assert not [call for call in granted(az, *arguments) if "--method post" in call]


@pytest.mark.parametrize("arguments", [(), ("--group", "g"), ("--group",), ("--what", "x")])
def test_it_asks_for_what_is_missing_before_it_grants_anything(az: Path, arguments: tuple[str, ...]) -> None:
    """Half a command grants nothing."""
    assert granted(az, *arguments, code=2) == []
