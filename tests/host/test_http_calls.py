from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from clients import until

if TYPE_CHECKING:
    from conftest import Begin
    from sample_host import SampleHost


@pytest.mark.parametrize("headers", [{}, {"x-functions-key": ""}, {"x-functions-key": "wrong"}])
async def test_a_function_route_without_its_key_is_401_without_body(host: SampleHost, headers: dict[str, str]) -> None:
    """The answer gives no reason."""
    reply = await host.call("GET", "/api/echo/a", headers=headers)
    assert (reply.status, reply.text) == (401, "")


async def test_the_key_opens_by_header_and_by_query(host: SampleHost) -> None:
    """Both ways that the real host knows; the app sees what was sent."""
    by_header = await host.call("GET", "/api/echo/a", headers=host.key)
    by_query = await host.call("GET", f"/api/echo/a?code={host.child.ready['key']}")
    assert (by_header.status, by_query.status) == (202, 202)
    assert by_header.json["headers"]["x-functions-key"] == "the-function-key"
    assert by_query.json["query"] == {"code": "the-function-key"}


async def test_the_header_wins_over_the_query(host: SampleHost) -> None:
    """A wrong header is not saved by a right query."""
    reply = await host.call("GET", "/api/echo/a?code=the-function-key", headers={"x-functions-key": "wrong"})
    assert reply.status == 401


async def test_admin_routes_need_the_master_key(host: SampleHost) -> None:
    """The function key does not open them; the master key opens everything."""
    master = {"x-functions-key": "the-master-key"}
    for path in ("/api/admins", "/admin/host/status"):
        assert (await host.call("GET", path, headers=host.key)).status == 401
        assert (await host.call("GET", path, headers=master)).status == 200
    assert (await host.call("GET", "/api/echo/a", headers=master)).status == 202
    assert (await host.call("GET", "/admin/host/status", headers=master)).json == {"state": "Running"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/echo/a"), ("HEAD", "/api/health"), ("GET", "/api/none"), ("GET", "/echo/a"), ("GET", "/api")],
)
async def test_a_wrong_method_is_404_like_an_unknown_route(host: SampleHost, method: str, path: str) -> None:
    """The real host has no 405, and a route that does not exist needs no key."""
    reply = await host.call(method, path)
    assert (reply.status, reply.text) == (404, "")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/api/things/special", "special 0"),
        ("/api/things/other", "thing other"),
        ("/API/Things/Special", "special 0"),
        ("/api/things/a%20b%C3%A9", "thing a bé"),
        ("/api/things/a%2Fb", "thing a%2Fb"),
        ("/api/numbers/12", "number 12"),
        ("/api/pages/two", "page two"),
        ("/api/pages", "page one"),
        ("/api/files/a/b.txt", "GET a/b.txt"),
        ("/api/files", "GET "),
    ],
)
async def test_routes_are_matched_as_by_the_real_host(host: SampleHost, path: str, text: str) -> None:
    """Literals before parameters whatever was declared first, in any case; constraints, optional and catch-all."""
    reply = await host.call("GET", path, headers=host.key)
    assert (reply.status, reply.text) == (200, text)


async def test_a_constraint_that_does_not_fit_is_404(host: SampleHost) -> None:
    """``{id:int}`` takes numbers only."""
    assert (await host.call("GET", "/api/numbers/twelve", headers=host.key)).status == 404


async def test_a_route_without_methods_answers_every_one(host: SampleHost) -> None:
    """As the real host has it."""
    assert (await host.call("PATCH", "/api/files/a", headers=host.key)).text == "PATCH a"


async def test_a_call_arrives_whole(host: SampleHost) -> None:
    """Method, headers, query, route, body and trace context."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = host.key | {"X-Thing": "Ü=1".encode().decode("latin-1"), "traceparent": traceparent}
    reply = await host.call("POST", "/api/echo/adele?a=1&a=2&b=&c=%26", headers=headers, data="{ü}".encode())
    arrived = reply.json
    assert (arrived["method"], arrived["route"], arrived["body"]) == ("POST", {"name": "adele"}, "{ü}")
    assert arrived["query"] == {"a": "1,2", "c": "&"}
    assert arrived["headers"]["x-thing"]
    assert arrived["traceparent"] == traceparent
    assert urlsplit(arrived["url"]).path == "/api/echo/adele"


async def test_an_answer_leaves_whole(host: SampleHost) -> None:
    """Status, headers, every cookie with its attributes, and the body."""
    reply = await host.call("GET", "/api/echo/a", headers=host.key)
    assert reply.status == 202
    assert reply.headers["Location"] == "https://example.org/next"
    assert reply.headers["Content-Type"] == "application/json"
    one, two = reply.headers.getall("Set-Cookie")  # type: ignore[attr-defined] -- a multidict, in truth
    assert one.startswith("one=1;")
    assert {"HttpOnly", "Max-Age=60", "Path=/api", "SameSite=Strict"} <= {part.strip() for part in one.split(";")}
    assert {"Secure", "expires=Wed, 09 Jun 2100 10:18:14 GMT"} <= {part.strip() for part in two.split(";")}


async def test_an_exception_is_500_without_body(host: SampleHost) -> None:
    """The caller learns nothing; the log has the stack, each line with time, level and logger."""
    reply = await host.call("GET", "/api/fails")
    assert (reply.status, reply.text) == (500, "")

    async def raised() -> list[str]:
        return [line for line in host.log if "ValueError: secret detail of GET" in line]

    (line, *_) = await until(raised, bool)
    assert line.split()[1:3] == ["ERROR", "host.function"]


async def test_a_body_above_the_limit_is_413(begin: Begin) -> None:
    """The limit of the real host, 100 MiB, by its own setting."""
    host = await begin(FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1000")
    assert (await host.call("POST", "/api/echo/a", headers=host.key, data=b"x" * 1000)).status == 202
    assert (await host.call("POST", "/api/echo/a", headers=host.key, data=b"x" * 1001)).status == 413


async def test_keys_are_never_logged(host: SampleHost) -> None:
    """Invocations are logged by name and path, without what stands in the query."""
    await host.call("GET", "/api/echo/unmistakable?code=the-function-key")

    async def executed() -> list[str]:
        return [line for line in host.log if "GET /api/echo/unmistakable" in line]

    assert await until(executed, bool)
    assert not [line for line in host.log if "the-function-key" in line or "the-master-key" in line]


async def test_every_line_of_log_is_whole(host: SampleHost) -> None:
    """What the app logs over several lines has its time, level and logger on each."""
    await host.call("POST", "/api/sends", headers=host.key, data="noted")

    async def logged() -> list[list[str]]:
        return [line.split() for line in host.log if " sample " in line]

    lines = await until(logged, lambda found: len(found) == 2)
    assert [line[-1] for line in lines] == ["two", "lines"]
    assert lines[0][3] == lines[1][3] != "-"
    assert host.log[0] == "# time level logger invocation message"


async def test_the_app_knows_its_address(host: SampleHost) -> None:
    """The platform's name for the app is there before the app is imported, port included."""
    assert (await host.call("GET", "/api/health")).text == urlsplit(host.root).netloc


async def test_a_function_that_takes_too_long_fails(begin: Begin) -> None:
    """``functionTimeout`` ends it."""
    host = await begin(limit="00:00:01")
    assert (await host.call("GET", "/api/sleeps?seconds=30")).status == 500


async def test_a_call_under_way_is_answered_when_the_host_is_stopped(begin: Begin) -> None:
    """SIGTERM ends nothing that runs, and the exit code is 0."""
    host = await begin()
    call = asyncio.create_task(host.call("GET", "/api/sleeps?seconds=1.5"))
    await host.noted(function="sleeps")
    code = await host.child.stop()
    assert ((await call).text, code) == ("awake", 0)


async def test_local_settings_are_defaults(begin: Begin) -> None:
    """``Values`` of local.settings.json apply where the environment has no value."""
    host = await begin(values={"LOCAL_FUNCTION_KEY": "from-the-file", "JOBS": "not-from-the-file"})
    assert host.child.ready["key"] == "from-the-file"
    await host.put("from the environment")
    await host.noted(body="from the environment", state="done")


@pytest.mark.parametrize(
    "header",
    [
        b"x-functions-key: a-secret\x00key",
        b"x-functions-key a-secret",
        b"x-functions-key: " + b"a-secret" * 2000,
        b"x-functions-key: a-secret\xff",
    ],
)
async def test_a_malformed_key_is_neither_echoed_nor_logged(host: SampleHost, header: bytes) -> None:
    """Whoever mistypes a header has a real key in it, and logs are read by others."""
    at = urlsplit(host.child.ready["functions"])
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(b"GET /api/echo/a HTTP/1.1\r\nHost: x\r\n" + header + b"\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert b"a-secret" not in answer
    # A later line shows that what this call wrote is there.
    await host.call("GET", "/api/echo/a", headers=host.key)
    assert not [line for line in host.log if "a-secret" in line]
