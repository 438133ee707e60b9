"""The lane as an ASGI server meets it: bodies in pieces, wrong methods, lost connections."""

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from serving.http import middleware
from serving.http.middleware import PostMiddleware, Route


async def echo(call):
    return json.dumps(
        {"body": call.body.decode(), "key": (call.authorization or b"").decode()}
    ).encode()


async def broken(call):
    raise RuntimeError("a secret of the house")


async def beyond(scope, receive, send):
    await send({"type": "beyond"})


ROUTES = {
    "/echo": Route(echo, lambda key: None, lambda: 10),
    "/broken": Route(broken, lambda key: None, lambda: 10),
}


class Layer:
    """Of the application's own: nothing that the lane answers may come to it."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "lifespan"
        await self.app(scope, receive, send)


def asked(*messages, path="/echo", method="POST", headers=(), then=None, by=None):
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0) if waiting else await then()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    asyncio.run((by or PostMiddleware(beyond, ROUTES))(scope, receive, send))
    return sent


async def started(application):
    """An application as its server starts and stops it."""
    told = [{"type": f"lifespan.{what}"} for what in ("shutdown", "startup")]

    async def receive():
        return told.pop()

    async def send(message):
        assert message["type"].endswith(".complete")

    await application({"type": "lifespan"}, receive, send)


def answered(*messages, **how):
    start, body = asked(*messages, **how)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])
    return start["status"], json.loads(body["body"])


def piece(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_pieces_is_one_body():
    status, reply = answered(piece(b"one ", True), piece(b"two", True), piece(b""))
    assert (status, reply["body"]) == (200, "one two")


def test_the_key_is_handed_on():
    _, reply = answered(piece(b""), headers=[(b"authorization", b"Bearer x")])
    assert reply["key"] == "Bearer x"


def test_a_body_is_refused_as_soon_as_it_is_too_large():
    status, reply = answered(piece(b"123456", True), piece(b"78901", True))
    assert (status, reply["error"]) == (413, "body_too_large")


def test_a_connection_lost_within_a_body_is_no_failure():
    status, reply = answered(piece(b"12", True), {"type": "http.disconnect"})
    assert (status, reply["error"]) == (400, "malformed_body")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_posts_are_answered(method):
    start, body = asked(method=method)
    assert (start["status"], dict(start["headers"])[b"allow"]) == (405, b"POST")
    assert json.loads(body["body"])["received"] == method


def test_a_failure_tells_nothing_of_the_house():
    status, reply = answered(piece(b""), path="/broken")
    assert (status, reply["error"]) == (500, "failed")
    assert "secret" not in json.dumps(reply)


def test_what_is_not_known_goes_on_to_the_service():
    assert asked(path="/livez", method="GET") == [{"type": "beyond"}]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(middleware, "PATIENCE", 0.01)
    start, body = asked(piece(b"12", True), then=asyncio.Event().wait)
    assert (start["status"], json.loads(body["body"])["error"]) == (408, "late_body")
    assert dict(start["headers"])[b"connection"] == b"close"


def test_as_the_application_starts_it_goes_before_every_other_layer():
    application = Starlette(
        middleware=[Middleware(Layer), Middleware(PostMiddleware, routes=ROUTES)]
    )

    asyncio.run(started(application))
    assert isinstance(application.middleware_stack, PostMiddleware)
    assert answered(piece(b"one"), by=application)[0] == 200
