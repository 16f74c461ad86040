"""The script that uploads the package, against a deployment endpoint on this machine; only ``az`` is played."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from local.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HAS_TOOLS = shutil.which("curl") and shutil.which("openssl")
pytestmark = pytest.mark.skipif(not HAS_TOOLS, reason="the script is made for machines with curl and openssl")
PACKAGE = bytes(range(256)) * 64
AZ = """#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in
  resource) echo "$SCM_HOST" ;;
  account) echo made-up-token ;;
esac
"""


class Endpoint:
    """What Flex Consumption answers to an upload: an id, then states of the deployment."""

    def __init__(self, folder: Path) -> None:
        self.states = [1, 4]
        self.upload_status = 202
        self.seen: list[tuple[str, str, str | None, bytes]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._note(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(endpoint.upload_status, '"11111111-1111-4111-8111-111111111111"')

            def do_GET(self) -> None:
                self._note(b"")
                self._answer(200, json.dumps({"id": "x", "status": endpoint.states.pop(0), "status_text": "so far"}))

            def _note(self, body: bytes) -> None:
                endpoint.seen.append((self.command, self.path, self.headers["Authorization"], body))

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        key, certificate = folder / "key.pem", folder / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=contoso", "-days", "1"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        # curl takes any name for this machine, and its certificate.
        port = self.server.server_address[1]
        (folder / ".curlrc").write_text(f'insecure\nnoproxy = "*"\nconnect-to = "::127.0.0.1:{port}"\n')


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path)
    (tmp_path / "az").write_text(AZ)
    (tmp_path / "az").chmod(0o755)
    (tmp_path / "package.zip").write_bytes(PACKAGE)
    thread = threading.Thread(target=endpoint.server.serve_forever)
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    thread.join()
    endpoint.server.server_close()


def deployed(folder: Path, host: str = "revoker.scm.contoso.com") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CURL_HOME": str(folder), "SCM_HOST": host, "POLL_SECONDS": "0"}
    environment["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [ROOT / ".ci" / "deploy-package", "rg-revoker", "revoker", folder / "package.zip"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_package_is_uploaded_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    """Every byte, without a remote build, as the account that is signed in; done when the deployment is."""
    done = deployed(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    upload, *polls = endpoint.seen
    assert upload == (
        "POST",
        "/api/publish?RemoteBuild=false&Deployer=deploy-package",
        "Bearer made-up-token",
        PACKAGE,
    )
    address = "/api/deployments/11111111-1111-4111-8111-111111111111"
    assert [poll[:3] for poll in polls] == [("GET", address, "Bearer made-up-token")] * 2
    assert "hostType=='Repository'" in (tmp_path / "az.calls").read_text()
    assert "made-up-token" not in done.stdout


def test_a_deployment_that_fails_fails_the_script(endpoint: Endpoint, tmp_path: Path) -> None:
    """And shows the platform's own message."""
    endpoint.states = [2, 3]
    done = deployed(tmp_path)
    assert done.returncode == 1
    assert "so far" in done.stderr


def test_a_refused_upload_is_no_deployment(endpoint: Endpoint, tmp_path: Path) -> None:
    """The identity's roles may not be there yet: nothing is waited for."""
    endpoint.upload_status = 403
    done = deployed(tmp_path)
    assert done.returncode == 1
    assert "403" in done.stderr
    assert len(endpoint.seen) == 1


def test_an_unknown_app_is_named(endpoint: Endpoint, tmp_path: Path) -> None:
    """Before anything is uploaded anywhere."""
    done = deployed(tmp_path, host="")
    assert done.returncode == 1
    assert "revoker in rg-revoker" in done.stderr
    assert endpoint.seen == []


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / ".github").rglob("*.yml"))],
    ids=lambda path: path.name,
)
def test_no_command_has_the_package_built_again(path: Path) -> None:
    """Neither ``config-zip``, which always does for Python, nor ``func`` without the language it cannot guess."""
    for line in path.read_text().splitlines():
        assert not re.match(r"\s*(?:run: *)?az functionapp deployment source config-zip", line)
        assert "func azure functionapp publish" not in line or "--python" in line
