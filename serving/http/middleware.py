"""ASGI middleware that answers POST routes before BentoML's tracing and metrics.

BentoML puts a service's middleware behind its own, which costs as much as the rest of a request.
Therefore `PostMiddleware` moves itself to the front when the application starts. A request for a
path without a route passes through to BentoML, which answers the health checks and /metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from serving.http.errors import RequestError

log = logging.getLogger("pricebook.service")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
NO_HEADERS: Headers = ()
BODY_TIMEOUT = 10.0  # seconds until the whole body must have arrived


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as a handler receives it: the body and the Authorization header, not parsed."""

    body: bytes
    authorization: bytes | None


@dataclass(frozen=True, slots=True)
class Route:
    """How to answer a path.

    `handle` returns the reply as JSON. `authorize` is called with the Authorization header before
    the body is read, and raises `RequestError`. `max_bytes` is the largest body allowed.
    """

    handle: Callable[[RawRequest], Awaitable[bytes]]
    authorize: Callable[[bytes | None], object]
    max_bytes: Callable[[], int]


class PostMiddleware:
    """Answers the paths in `routes`, which may be filled after the middleware was created."""

    def __init__(self, app: App, routes: Mapping[str, Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope.get("path", ""))
        if route is None or scope["type"] != "http":
            if scope["type"] == "lifespan":
                self._move_to_front(scope["app"])
            await self._app(scope, receive, send)
            return
        try:
            status, body, headers = 200, await _handle(route, scope, receive), NO_HEADERS
        except Exception as error:
            status, body, headers = _error_reply(error)
        headers = [JSON, (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _move_to_front(self, application: Any) -> None:
        """Wrap the application's whole stack of middleware. This one stays at its place, unused.

        The server sends "lifespan" once, through every layer, before the first request. By then
        BentoML has built the stack, and Starlette looks `middleware_stack` up for each request.
        """
        application.middleware_stack = PostMiddleware(application.middleware_stack, self._routes)


def _error_reply(error: Exception) -> tuple[int, bytes, Headers]:
    if isinstance(error, RequestError):
        extra = (error.headers or {}).items()
        headers = [(name.lower().encode(), value.encode()) for name, value in extra]
        return error.status, to_json(error.body, inf_nan_mode="null"), headers
    log.error("A request failed.", exc_info=error)
    detail = "The service failed. Its log has the traceback."
    return 500, to_json({"error": "failed", "detail": detail, "received": None}), NO_HEADERS


async def _handle(route: Route, scope: Scope, receive: Receive) -> bytes:
    if scope["method"] != "POST":
        detail = f"{scope['path']}: Method Not Allowed."
        raise RequestError(405, "not_allowed", detail, scope["method"], {"Allow": "POST"})
    authorization = next((v for k, v in scope["headers"] if k == b"authorization"), None)
    route.authorize(authorization)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _read_body(receive, route.max_bytes())
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_TIMEOUT:g} seconds."
        raise RequestError(408, "late_body", detail, headers={"Connection": "close"}) from None
    return await route.handle(RawRequest(body, authorization))


async def _read_body(receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises 413 as soon as more than `max_bytes` have arrived."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            detail = "The connection was closed before the body ended."
            raise RequestError(400, "malformed_body", detail)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            detail = f"The body is larger than {max_bytes} bytes."
            raise RequestError(413, "body_too_large", detail, f"more than {max_bytes} bytes")
    return body
