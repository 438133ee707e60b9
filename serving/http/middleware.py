"""The lane: POST routes answered before the layers that trace and time every request.

BentoML adds it as a middleware of the service (`add_asgi_middleware`), behind its own. As the
application starts it goes before them; what it does not know goes on to them, and to the service,
which keeps the health checks, the metrics and the page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from serving.http.errors import RequestError

log = logging.getLogger("pricebook.service")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JSON = (b"content-type", b"application/json")
PATIENCE = 10.0  # seconds until the whole body has come


@dataclass(frozen=True, slots=True)
class Call:
    """A request as an answer sees it: the body, and whose it is."""

    body: bytes
    authorization: bytes | None


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path: who may ask, how long a body may be, and the answer as JSON."""

    answer: Callable[[Call], Awaitable[bytes]]
    allow: Callable[[bytes | None], object]
    largest: Callable[[], int]


class PostMiddleware:
    """An ASGI middleware. `routes` is looked at for every request, and may be filled later."""

    def __init__(self, app: Callable[..., Awaitable[None]], routes: Mapping[str, Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope.get("path", ""))
        if route is None or scope["type"] != "http":
            if scope["type"] == "lifespan":
                scope["app"].middleware_stack = PostMiddleware(
                    scope["app"].middleware_stack, self._routes
                )
            await self._app(scope, receive, send)
            return
        headers = [JSON]
        try:
            status, body = 200, await _answered(route, scope, receive)
        except RequestError as refusal:
            status, body = refusal.status, to_json(refusal.body, inf_nan_mode="null")
            headers += [
                (k.lower().encode(), v.encode()) for k, v in (refusal.headers or {}).items()
            ]
        except Exception:
            log.exception("A request failed.")
            failed = {"error": "failed", "detail": "The service failed; its log says how."}
            status, body = 500, to_json(failed | {"received": None})
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _answered(route: Route, scope: Scope, receive: Receive) -> bytes:
    if scope["method"] != "POST":
        detail = f"{scope['path']}: Method Not Allowed."
        raise RequestError(405, "not_allowed", detail, scope["method"], {"Allow": "POST"})
    authorization = next((v for k, v in scope["headers"] if k == b"authorization"), None)
    route.allow(authorization)
    try:
        async with asyncio.timeout(PATIENCE):
            body = await _body(receive, route.largest())
    except TimeoutError:
        detail = f"The body did not come within {PATIENCE:g} seconds."
        raise RequestError(408, "late_body", detail, headers={"Connection": "close"}) from None
    return await route.answer(Call(body, authorization))


async def _body(receive: Receive, largest: int) -> bytes:
    """The body, refused with 413 as soon as it is larger than `largest` bytes."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(
                400, "malformed_body", "The connection was closed before the body ended."
            )
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > largest:
            detail = f"The body is larger than {largest} bytes."
            raise RequestError(413, "body_too_large", detail, f"more than {largest} bytes")
    return body
