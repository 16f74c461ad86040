"""A small app with every kind of trigger that the local host runs; what it did is read from the file RECORD."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
RECORD = Path(os.environ["RECORD"])
print("printed by the app while it is imported")  # noqa: T201 -- a host's JSON line must stay alone on stdout


def note(**fields: object) -> None:
    """Add a line to the record."""
    with RECORD.open("a") as file:
        file.write(json.dumps(fields) + "\n")


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the name that the platform gave."""
    return func.HttpResponse(os.environ["WEBSITE_HOSTNAME"] if req.method == "GET" else "")


@app.route("echo/{name}", methods=["GET", "POST"])
async def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Send back what arrived."""
    arrived = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "query": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode(),
        "traceparent": context.trace_context.trace_parent,
    }
    answer = func.HttpResponse(json.dumps(arrived), status_code=202, mimetype="application/json")
    answer.headers["Location"] = "https://example.org/next"
    answer.headers.add("Set-Cookie", "one=1; Path=/api; HttpOnly; SameSite=Strict; Max-Age=60")
    answer.headers.add("Set-Cookie", "two=2; Secure; Expires=Wed, 09 Jun 2100 10:18:14 GMT")
    return answer


@app.route("things/{id}", methods=["GET"])
async def any_thing(req: func.HttpRequest) -> func.HttpResponse:
    """Be declared before the literal route that wins."""
    return func.HttpResponse(f"thing {req.route_params['id']}")


@app.route("things/special", methods=["GET"])
async def special_thing(req: func.HttpRequest) -> func.HttpResponse:
    """Win over the parameter."""
    return func.HttpResponse(f"special {len(req.route_params)}")


@app.route("numbers/{id:int}", methods=["GET"])
async def number(req: func.HttpRequest) -> func.HttpResponse:
    """Take whole numbers only."""
    return func.HttpResponse(f"number {req.route_params['id']}")


@app.route("pages/{id?}", methods=["GET"])
def page(req: func.HttpRequest) -> func.HttpResponse:
    """Run in a thread, with a parameter that may be missing."""
    return func.HttpResponse(f"page {req.route_params.get('id', 'one')}")


@app.route("files/{*path}")
async def file(req: func.HttpRequest) -> func.HttpResponse:
    """Take the rest of the path, by any method."""
    return func.HttpResponse(f"{req.method} {req.route_params.get('path', '')}")


@app.route("admins", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
async def admins(req: func.HttpRequest) -> func.HttpResponse:
    """Ask for the master key."""
    return func.HttpResponse(req.method)


@app.route("fails", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    """Fail."""
    raise ValueError(f"secret detail of {req.method}")


@app.route("sleeps", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def sleeps(req: func.HttpRequest) -> func.HttpResponse:
    """Take the seconds the caller names."""
    note(function="sleeps", state="begun")
    try:
        await asyncio.sleep(float(req.params["seconds"]))
    except asyncio.CancelledError:
        note(function="sleeps", state="cancelled")
        raise
    return func.HttpResponse("awake")


@app.route("sends", methods=["POST"])
@app.queue_output("out", queue_name="%JOBS%", connection="AzureWebJobsStorage")
async def sends(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    """Put the body into the queue through an output binding."""
    out.set(req.get_body().decode())
    logging.getLogger("sample").info("two\nlines")
    return func.HttpResponse(status_code=204)


@app.queue_trigger("msg", queue_name="%JOBS%", connection="AzureWebJobsStorage")
async def job(msg: func.QueueMessage) -> None:
    """Do what the message asks for: ``fail``, ``sleep SECONDS``, or nothing."""
    body = msg.get_body().decode()
    about = {"function": "job", "id": msg.id, "body": body, "tries": msg.dequeue_count}
    times = {"inserted": str(msg.insertion_time), "expires": str(msg.expiration_time)}
    note(**about, **times, state="begun", receipt=bool(msg.pop_receipt), at=time.time())
    if body == "fail":
        raise ValueError("as told")
    if body.startswith("sleep "):
        try:
            await asyncio.sleep(float(body.split()[1]))
        except asyncio.CancelledError:
            note(**about, state="cancelled")
            raise
    note(**about, state="done", at=time.time())


@app.timer_trigger("timer", schedule="%TICK%")
async def tick(timer: func.TimerRequest) -> None:
    """Take longer than the pause between two ticks."""
    note(function="tick", state="begun", at=time.time(), past_due=timer.past_due, next=timer.schedule_status["Next"])
    await asyncio.sleep(1.2)
    note(function="tick", state="done", at=time.time())
