"""``python -m local host``: runs ``function_app.py`` with everything else taken from the environment.

Keys: LOCAL_FUNCTION_KEY and LOCAL_MASTER_KEY, made up when unset. Storage, Graph and identity: the app's own settings.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, web

from local.host.options import read_options, use_local_settings
from local.host.queues import QueueListener
from local.host.runtime import AppFailedError, Runtime
from local.host.timers import Timers
from local.host.web import WebSide
from local.processes import ROOT, stop_requested

_DRAIN_SECONDS: Final = 30.0


def main(argv: list[str]) -> int:
    """Run the app until SIGTERM or SIGINT; a second signal ends it at once."""
    parser = argparse.ArgumentParser(
        prog="python -m local host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--app", type=Path, default=ROOT, help="folder with function_app.py (default: the project)")
    parser.add_argument("--json", action="store_true", help="print one JSON line once /api/health answers")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for name in ("azure", "azure_functions_runtime", "azure.functions", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        listener = socket.create_server((options.host, options.port))
    except OSError as problem:
        print(f"Port {options.port} cannot be used ({problem.strerror}); --port chooses another.", file=sys.stderr)
        return 1
    return asyncio.run(_run(options, listener))


async def _run(options: argparse.Namespace, listener: socket.socket) -> int:
    stop = asyncio.create_task(stop_requested())
    folder = options.app.resolve()
    use_local_settings(folder)
    port = listener.getsockname()[1]
    root = f"http://{options.host}:{port}"
    # The app builds its links from the platform's name for it, which is known before it is imported.
    os.environ.setdefault("WEBSITE_HOSTNAME", f"{options.host}:{port}")
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    try:
        runtime = await Runtime.load(folder)
    except AppFailedError as problem:
        print(f"The app could not be loaded: {problem}", file=sys.stderr)
        return 1
    host_options = read_options(folder, os.environ)
    key = os.environ.get("LOCAL_FUNCTION_KEY") or secrets.token_urlsafe(24)
    master_key = os.environ.get("LOCAL_MASTER_KEY") or secrets.token_urlsafe(24)
    timers = Timers(runtime=runtime, environment=os.environ)
    side = WebSide(runtime=runtime, prefix=host_options.route_prefix, key=key, master_key=master_key, timers=timers)
    listeners = [
        QueueListener(function=function, runtime=runtime, options=host_options, environment=os.environ)
        for function in runtime.functions
        if function.kind == "queueTrigger"
    ]
    runner = web.AppRunner(side.application(), access_log=None, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    polls = [asyncio.create_task(queue.run()) for queue in listeners]
    timers.start()
    await _healthy(root, host_options.route_prefix)
    if options.json:
        print(json.dumps({"functions": root, "key": key, "pids": [os.getpid()]}), flush=True)
    else:
        _announce(side.urls(root), [queue.name for queue in listeners], key)
    await stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    await _stopped(polls, timers, listeners, runner)
    runtime.close()
    return 0


async def _stopped(
    polls: list[asyncio.Task[None]], timers: Timers, listeners: list[QueueListener], runner: web.AppRunner
) -> None:
    """Take nothing new, let what runs end, then let go."""
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    work = asyncio.gather(timers.stop(), runner.cleanup(), *(queue.finish() for queue in listeners))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(work), _DRAIN_SECONDS)
    for queue in listeners:
        await queue.abandon()
        await queue.close()


async def _healthy(root: str, prefix: str) -> None:
    """The first call also makes sure that the app's loop runs."""
    async with ClientSession() as session, session.get(f"{root}/{prefix}/health") as answer:
        await answer.read()


def _announce(urls: list[str], queues: list[str], key: str) -> None:
    print("The app is up.\n")
    for url in urls:
        print(f"  {url}")
    print(f"\n  queues: {', '.join(queues)}\n  key (header x-functions-key): {key}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
