"""The middleware as an ASGI server calls it: bodies in pieces, wrong methods, lost connections."""

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from serving.http import middleware
from serving.http.middleware import PostMiddleware, Route


async def echo(raw):
    return json.dumps(
        {"body": raw.body.decode(), "key": (raw.authorization or b"").decode()}
    ).encode()


async def broken(raw):
    raise RuntimeError("an internal secret")


async def inner_app(scope, receive, send):
    await send({"type": "inner"})


ROUTES = {
    "/echo": Route(echo, lambda key: None, lambda: 10),
    "/broken": Route(broken, lambda key: None, lambda: 10),
}


class OtherLayer:
    """Another middleware of the application. No request that is answered may reach it."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "lifespan"
        await self.app(scope, receive, send)


def send_request(*messages, path="/echo", method="POST", headers=(), then=None, app=None):
    """Send a request whose body arrives in these messages; returns what the app sends."""
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0) if waiting else await then()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    asyncio.run((app or PostMiddleware(inner_app, ROUTES))(scope, receive, send))
    return sent


async def start_and_stop(application):
    """Call an application as its server does at start and shutdown."""
    events = [{"type": f"lifespan.{event}"} for event in ("shutdown", "startup")]

    async def receive():
        return events.pop()

    async def send(message):
        assert message["type"].endswith(".complete")

    await application({"type": "lifespan"}, receive, send)


def reply_to(*messages, **request):
    """The status and the JSON of the reply."""
    start, body = send_request(*messages, **request)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])
    return start["status"], json.loads(body["body"])


def piece(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_pieces_of_a_body_are_joined():
    status, reply = reply_to(piece(b"one ", True), piece(b"two", True), piece(b""))
    assert (status, reply["body"]) == (200, "one two")


def test_the_authorization_header_reaches_the_handler():
    _, reply = reply_to(piece(b""), headers=[(b"authorization", b"Bearer x")])
    assert reply["key"] == "Bearer x"


def test_a_body_is_refused_as_soon_as_it_is_too_large():
    status, reply = reply_to(piece(b"123456", True), piece(b"78901", True))
    assert (status, reply["error"]) == (413, "body_too_large")


def test_a_connection_lost_within_a_body_is_a_bad_request():
    status, reply = reply_to(piece(b"12", True), {"type": "http.disconnect"})
    assert (status, reply["error"]) == (400, "malformed_body")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_methods_other_than_post_are_refused(method):
    start, body = send_request(method=method)
    assert (start["status"], dict(start["headers"])[b"allow"]) == (405, b"POST")
    assert json.loads(body["body"])["received"] == method


def test_an_unexpected_exception_is_not_shown_to_the_client():
    status, reply = reply_to(piece(b""), path="/broken")
    assert (status, reply["error"]) == (500, "failed")
    assert "secret" not in json.dumps(reply)


def test_a_path_without_a_route_passes_through():
    assert send_request(path="/livez", method="GET") == [{"type": "inner"}]


def test_a_body_that_does_not_arrive_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", 0.01)
    start, body = send_request(piece(b"12", True), then=asyncio.Event().wait)
    assert (start["status"], json.loads(body["body"])["error"]) == (408, "late_body")
    assert dict(start["headers"])[b"connection"] == b"close"


def test_at_start_it_moves_in_front_of_every_other_middleware():
    layers = [Middleware(OtherLayer), Middleware(PostMiddleware, routes=ROUTES)]
    application = Starlette(middleware=layers)

    asyncio.run(start_and_stop(application))
    assert isinstance(application.middleware_stack, PostMiddleware)
    assert reply_to(piece(b"one"), app=application)[0] == 200
