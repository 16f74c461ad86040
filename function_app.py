"""The triggers, and nothing else: each turns the Functions host's types into a call of ``revoke_core``.

HTTP callers: Logic Apps, Power Automate, admins with curl. Queue callers: any system that can put a message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import azure.functions as func

from revoke_core.bootstrap import app as core
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from revoke_core.entrypoints.http.response import HttpResponse

# Wrong settings stop the app here, at its start, with a message that names each of them.
core()

# With Entra authentication the host asks for no key: App Service names the caller, and the core answers 401 and 403.
ENTRA = core().entra_authentication
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS if ENTRA else func.AuthLevel.FUNCTION)
STORAGE = "AzureWebJobsStorage"


@app.route("revocations", methods=["POST"])
async def submit(req: func.HttpRequest) -> func.HttpResponse:
    """Submit a request."""
    return _response(await core().submit.submit(_call(req)))


@app.route("revocations/from/{shape}", methods=["POST"])
async def submit_payload(req: func.HttpRequest) -> func.HttpResponse:
    """Submit what another product sends, as it is."""
    return _response(await core().submit.submit_payload(_call(req), req.route_params["shape"]))


# A function key names no person: without Entra authentication the route does not exist.
if ENTRA:

    @app.route("me/revocations", methods=["POST"])
    async def submit_own(req: func.HttpRequest) -> func.HttpResponse:
        """Submit a request for the caller's own sessions."""
        return _response(await core().submit.submit_own(_call(req)))


@app.route("revocations", methods=["GET"])
async def read_requests(req: func.HttpRequest) -> func.HttpResponse:
    """List requests, or the requests that touched one user."""
    return _response(await core().read.requests(_call(req)))


@app.route("revocations/{id}", methods=["GET"])
async def read_request(req: func.HttpRequest) -> func.HttpResponse:
    """Read one request."""
    return _response(await core().read.request(_call(req), req.route_params["id"]))


@app.route("revocations/{id}/users", methods=["GET"])
async def read_users(req: func.HttpRequest) -> func.HttpResponse:
    """Read one request's users."""
    return _response(await core().read.users(_call(req), req.route_params["id"]))


@app.route("revocations/{id}/confirm", methods=["POST"])
async def confirm(req: func.HttpRequest) -> func.HttpResponse:
    """Confirm a held request."""
    return _response(await core().control.confirm(_call(req), req.route_params["id"]))


@app.route("revocations/{id}/cancel", methods=["POST"])
async def cancel(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel a request."""
    return _response(await core().control.cancel(_call(req), req.route_params["id"]))


@app.route("revocations/cancel", methods=["POST"])
async def cancel_open(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel every open request of one caller."""
    return _response(await core().control.cancel_open(_call(req)))


@app.route("revocations/{id}/retry", methods=["POST"])
async def retry(req: func.HttpRequest) -> func.HttpResponse:
    """Submit a request for the users who failed in another."""
    return _response(await core().control.retry(_call(req), req.route_params["id"]))


# Anonymous: Power Automate sends no key when it polls, so the link carries a signature.
@app.route("operations/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def read_operation(req: func.HttpRequest) -> func.HttpResponse:
    """Read one request through its signed link."""
    return _response(await core().read.operation(_call(req), req.route_params["id"]))


# Anonymous: load balancers and availability tests hold no key, and the response holds nothing secret.
@app.route("health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Liveness of the process."""
    return _response(await core().read.health(_call(req)))


# Anonymous: designers and generators read it without a key, and the response holds nothing secret.
@app.route("openapi.json", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def read_description(req: func.HttpRequest) -> func.HttpResponse:
    """Read the API's description."""
    return _response(await core().read.description(_call(req)))


@app.route("readiness", methods=["GET"])
async def readiness(req: func.HttpRequest) -> func.HttpResponse:
    """Whether the app could revoke now."""
    return _response(await core().read.readiness(_call(req)))


@app.queue_trigger("msg", queue_name="revocation-requests", connection=STORAGE)
async def on_request_message(msg: func.QueueMessage) -> None:
    """Carry out a request message of another system."""
    await core().queue.message(_text(msg), msg.id or "", inserted_at=msg.insertion_time, tries=msg.dequeue_count or 1)


@app.queue_trigger("msg", queue_name="revocation-work", connection=STORAGE)
async def on_work_message(msg: func.QueueMessage) -> None:
    """Work on a request."""
    await core().queue.work(_text(msg))


@app.queue_trigger("msg", queue_name="revocation-requests-poison", connection=STORAGE)
async def on_request_poison(msg: func.QueueMessage) -> None:
    """Have a poisoned request message carried out after all."""
    await core().queue.poison(_text(msg), msg.id or "", inserted_at=msg.insertion_time)


@app.queue_trigger("msg", queue_name="revocation-work-poison", connection=STORAGE)
async def on_work_poison(msg: func.QueueMessage) -> None:
    """Enqueue a poisoned work message again."""
    await core().queue.work_poison(_text(msg))


@app.timer_trigger("timer", schedule="*/30 * * * * *")
async def sweep(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the host passes the timer by this name
    """Enqueue the open requests that no worker holds, and read the evidence of ended ones."""
    await core().storage.ready()
    await asyncio.gather(core().sweeper.sweep(), core().protected.watch(), core().read_evidence())


@app.timer_trigger("timer", schedule="0 17 3 * * *")
async def remove_old(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the host passes the timer by this name
    """Remove requests older than the retention time."""
    await core().storage.ready()
    await core().retention.remove_old()


def _call(req: func.HttpRequest) -> HttpCall:
    headers = {name.lower(): value for name, value in req.headers.items()}
    return HttpCall(headers=headers, query=dict(req.params), url=req.url, body=req.get_body())


def _response(given: HttpResponse) -> func.HttpResponse:
    return func.HttpResponse(
        given.body, status_code=given.status, headers=dict(given.headers), mimetype=given.content_type
    )


def _text(msg: func.QueueMessage) -> str:
    return msg.get_body().decode("utf-8", "replace")
