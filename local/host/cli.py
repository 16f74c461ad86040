"""``python -m local host``: runs ``function_app.py`` with everything else taken from the environment.

Keys: LOCAL_FUNCTION_KEY and LOCAL_MASTER_KEY, made up when unset. Storage, Graph and identity: the app's own settings,
with ``Values`` of local.settings.json as defaults. docs/local-kit.md lists what of the real host is reproduced.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.host.keys import Keys
from local.host.logs import start_logging
from local.host.options import read_options, use_local_settings
from local.host.runtime import AppFailedError, Runtime
from local.host.service import Service
from local.processes import ROOT, stop_requested

if TYPE_CHECKING:
    from typing import TextIO


def main(argv: list[str]) -> int:
    """Run the app until SIGTERM or SIGINT; a second signal ends it at once."""
    here = Path.cwd()
    parser = argparse.ArgumentParser(
        prog="python -m local host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free port (default %(default)s)")
    parser.add_argument(
        "--app",
        type=Path,
        default=here if (here / "function_app.py").exists() else ROOT,
        help="folder with function_app.py (default: this one, else the project)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON line once GET /api/health answers 200 and the queues are there",
    )
    options = parser.parse_args(argv)
    start_logging()
    try:
        listener = socket.create_server((options.host, options.port))
    except OSError as problem:
        print(f"Port {options.port} cannot be used ({problem.strerror}); --port chooses another.", file=sys.stderr)
        return 1
    return asyncio.run(_run(options, listener, _own_stdout() if options.json else sys.stdout))


async def _run(options: argparse.Namespace, listener: socket.socket, out: TextIO) -> int:
    """The exit code; the process ends here when functions are still running."""
    stop = asyncio.create_task(stop_requested())
    folder = options.app.resolve()
    address = "127.0.0.1" if options.host in ("", "0.0.0.0") else options.host  # noqa: S104 -- compared, not bound
    authority = f"{address}:{listener.getsockname()[1]}"
    try:
        use_local_settings(folder, os.environ)
        # The app builds its links from the platform's name for it, which is known before it is imported.
        os.environ.setdefault("WEBSITE_HOSTNAME", authority)
        # Only callers on this machine may send the headers of App Service authentication.
        if address in ("127.0.0.1", "localhost", "::1"):
            os.environ.setdefault("WEBSITE_AUTH_ENABLED", "true")
        os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        keys = Keys(
            function=os.environ.get("LOCAL_FUNCTION_KEY") or secrets.token_urlsafe(24),
            master=os.environ.get("LOCAL_MASTER_KEY") or secrets.token_urlsafe(24),
        )
        runtime = await Runtime.load(folder)
        service = Service(runtime=runtime, options=read_options(folder, os.environ), keys=keys, environment=os.environ)
    except AppFailedError as problem:
        print(f"The app could not be started: {problem}", file=sys.stderr)
        return 1
    await service.start(listener)
    ready = asyncio.create_task(_announced(service, f"http://{authority}", keys, out, as_json=options.json))
    await stop
    ready.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ready
    if not await service.stop():
        # Here and at once: the end of the event loop would cancel them, and one in a thread would be waited for.
        sys.stderr.flush()
        os._exit(0)
    return 0


async def _announced(service: Service, root: str, keys: Keys, out: TextIO, *, as_json: bool) -> None:
    await service.ready(root)
    if as_json:
        print(json.dumps({"functions": root, "key": keys.function, "pids": [os.getpid()]}), file=out, flush=True)
        return
    lines = ["The app is up; Ctrl+C ends it.", ""]
    lines += [f"  {'|'.join(sorted(one.methods)) or 'any':9} {root}{one.template}" for one in service.routes]
    lines += [f"  queue     {listener.name}" for listener in service.listeners]
    lines += [f"  timer     {timer.name} ({timer.schedule})" for timer in service.timers]
    lines += ["", f"  key (header x-functions-key): {keys.function}", ""]
    print("\n".join(lines), file=out, flush=True)


def _own_stdout() -> TextIO:
    """Keep standard output for the one JSON line: what the app prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
