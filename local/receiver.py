"""``python -m local receiver``: takes callbacks, verifies their signature, shows what arrived.

It knows nothing of the app's code: signatures are checked as the Standard Webhooks specification has it, so that a
receiver of another make finds here what it has to do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from local.processes import stop_requested

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_PREFIX: Final = "whsec_"
# A signature older than this may have been recorded and sent again.
_TOLERANCE_SECONDS: Final = 300
_KEY_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One post. ``fault`` says why it was not believed; ``answered`` is the status that it got."""

    webhook_id: str
    timestamp: str
    fault: str | None
    answered: int
    path: str
    body: Any


@dataclass(kw_only=True)
class Receiver:
    """Answers 204, or 401 for what it does not believe; the first ``failures`` posts get ``failure_status``.

    ``seconds`` is how long it takes to answer; ``location`` makes it a redirect. ``on_arrival`` is told of each post.
    """

    secret: str
    failures: int = 0
    failure_status: int = 500
    seconds: float = 0.0
    location: str | None = None
    clock: Callable[[], float] = time.time
    on_arrival: Callable[[Arrival], None] = lambda _: None
    arrivals: list[Arrival] = field(default_factory=list)
    root: str = ""

    async def take(self, request: web.Request) -> web.Response:
        """Take one post."""
        content = await request.read()
        fault = signature_fault(self.secret, request.headers, content, self.clock())
        status = 401 if fault else 302 if self.location else 204
        if self.failures:
            self.failures -= 1
            status = self.failure_status
        arrival = Arrival(
            webhook_id=request.headers.get("webhook-id", ""),
            timestamp=request.headers.get("webhook-timestamp", ""),
            fault=fault,
            answered=status,
            path=request.path,
            body=_value(content),
        )
        self.arrivals.append(arrival)
        self.on_arrival(arrival)
        await asyncio.sleep(self.seconds)
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=status, headers=headers)


def signature_fault(secret: str, headers: Mapping[str, str], content: bytes, now: float) -> str | None:
    """What keeps a post from being believed; ``None`` when it was signed with the secret within five minutes."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    event_id, timestamp, signatures = (headers.get(name, "") for name in names)
    if not (event_id and timestamp.isascii() and timestamp.isdigit() and signatures):
        return f"the headers {', '.join(names)} are not all there"
    if abs(now - int(timestamp)) > _TOLERANCE_SECONDS:
        return "it was signed more than five minutes ago"
    signed = f"{event_id}.{timestamp}.".encode() + content
    digest = hmac.new(base64.b64decode(secret.removeprefix(_PREFIX)), signed, hashlib.sha256).digest()
    # A list: while a secret is changed, there is one signature for the old and one for the new.
    for text in signatures.split(" "):
        version, _, value = text.partition(",")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue
        if version == "v1" and hmac.compare_digest(given, digest):
            return None
    return "no signature is right"


def _value(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")


@asynccontextmanager
async def receiving(receiver: Receiver, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Receiver]:
    """Listen while the context lasts; ``receiver.root`` is the address."""
    application = web.Application(client_max_size=1024 * 1024)
    application.router.add_route("POST", "/{path:.*}", receiver.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        receiver.root = f"http://{host}:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()


def new_secret() -> str:
    """A signing secret that nobody else has."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def main(argv: list[str]) -> int:
    """Listen until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local receiver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7091, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--secret", help="whsec_… (default: CALLBACK_SECRET, else made up)")
    parser.add_argument("--fail", type=int, default=0, metavar="N", help="answer the first N posts with an error")
    parser.add_argument("--status", type=int, default=500, help="which error (default %(default)s)")
    parser.add_argument("--slow", type=float, default=0.0, metavar="SECONDS", help="take so long to answer")
    parser.add_argument("--json", action="store_true", help="print JSON lines: the address first, then each post")
    options = parser.parse_args(argv)
    secret = options.secret or os.environ.get("CALLBACK_SECRET") or new_secret()
    receiver = Receiver(
        secret=secret,
        failures=options.fail,
        failure_status=options.status,
        seconds=options.slow,
        on_arrival=_print_json if options.json else _print_text,
    )
    try:
        return asyncio.run(_serve(receiver, options))
    except OSError as problem:
        print(f"Port {options.port} cannot be used ({problem.strerror}); --port chooses another.", file=sys.stderr)
        return 1


async def _serve(receiver: Receiver, options: argparse.Namespace) -> int:
    async with receiving(receiver, host=options.host, port=options.port):
        if options.json:
            ready = {"receiver": receiver.root, "secret": receiver.secret, "pids": [os.getpid()]}
            print(json.dumps(ready), flush=True)
        else:
            print(
                f"The receiver is up; Ctrl+C ends it. The app needs\n\n"
                f"  export CALLBACK_HOSTS={options.host} CALLBACK_SECRET={receiver.secret}\n\n"
                f'and a request "callbackUrl": "{receiver.root}/"\n',
                flush=True,
            )
        await stop_requested()
    return 0


def _print_json(arrival: Arrival) -> None:
    print(json.dumps(asdict(arrival)), flush=True)


def _print_text(arrival: Arrival) -> None:
    state = arrival.body if isinstance(arrival.body, dict) else {}
    print(
        f"{arrival.webhook_id}: {arrival.fault or 'rightly signed'}, answered {arrival.answered}; "
        f"status {state.get('status')}, counts {json.dumps(state.get('counts'))}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
