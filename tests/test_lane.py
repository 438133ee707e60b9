"""The lane as an ASGI server meets it: bodies in pieces, wrong methods, lost connections."""

import asyncio
import json

import pytest

from serving.lane import Lane, Route


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


def asked(*messages, path="/echo", method="POST", headers=()):
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    asyncio.run(Lane(beyond, ROUTES)(scope, receive, send))
    return sent


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
