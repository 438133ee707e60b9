"""The BentoML service: parse, look up, decide, log.

The routes are a Starlette app mounted in the service: BentoML keeps the processes, the health
checks, the metrics and the page at /; the app keeps the shape of every answer, errors included.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import bentoml
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pricebook.config import Settings
from serving.openapi import description
from serving.page import PAGE
from serving.refusal import Refusal, parse, read
from serving.schemas import ForecastRequest, QuoteRequest, QuotesRequest

log = logging.getLogger("pricebook.service")

WATCH_EVERY = 2.0  # seconds
BODY_BYTES = 4_096  # for a body, and again for each item of a batch


async def quote(request: Request) -> Response:
    asked = parse(QuoteRequest, await read(request, BODY_BYTES))
    return _json((await request.app.state.desk.quotes([asked]))[0])


async def quotes(request: Request) -> Response:
    desk = request.app.state.desk
    largest = BODY_BYTES * (1 + desk.bundle.about.limits.max_batch)
    asked = parse(QuotesRequest, await read(request, largest))
    return _json({"quotes": await desk.quotes(asked.items)})


async def forecast(request: Request) -> Response:
    asked = parse(ForecastRequest, await read(request, BODY_BYTES))
    return _json(request.app.state.desk.forecast(asked))


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def openapi(_: Request) -> Response:
    return _json(description())


def _json(content: object) -> Response:
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")


async def refused(_: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return JSONResponse(error.body, error.status)
    raise error


async def not_allowed(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = f"{request.url.path}: {error.detail}."
    body = {"error": "not_allowed", "detail": detail, "received": request.method}
    return JSONResponse(body, error.status_code, headers=error.headers)


async def failed(_: Request, error: Exception) -> Response:
    log.error("A request failed.", exc_info=error)
    detail = "The service failed; its log says how."
    return JSONResponse({"error": "failed", "detail": detail, "received": None}, 500)


Answer = Callable[[Request], Awaitable[Response]]
POSTS: dict[str, Answer] = {"/quote": quote, "/quotes": quotes, "/forecast": forecast}
APP = Starlette(
    routes=[
        *(Route(path, answer, methods=["POST"]) for path, answer in POSTS.items()),
        Route("/", page),
        Route("/openapi.json", openapi),
        Route("/docs.json", openapi),
    ],
    exception_handlers={Refusal: refused, HTTPException: not_allowed, Exception: failed},
)


@bentoml.asgi_app(APP, path="/")
@bentoml.service(
    name="pricebook",
    workers=1,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
)
class PricebookService:
    """Fair, explainable prices in milliseconds."""

    def __init__(self) -> None:
        from serving.champion import Champion, Watch, settle
        from serving.desk import Desk
        from serving.journal import Journal
        from serving.metrics import Counters
        from serving.online import Shoppers
        from serving.signing import signing_key

        logging.getLogger("pricebook").setLevel(logging.INFO)
        settings = Settings()
        self.champion = Champion(settings.bundle, packed=_packed())
        self.shoppers = Shoppers(settings)
        self.shoppers.probe()
        settle()
        counters = Counters()
        APP.state.desk = Desk(
            self.champion,
            self.shoppers,
            Journal(settings.state / "quote_log"),
            signing_key(settings),
            count=counters.quote,
        )
        self.watch = Watch(self._look, WATCH_EVERY)
        self.watch.start()

    def _look(self) -> None:
        self.champion.refresh()
        self.shoppers.probe()

    async def __is_ready__(self) -> bool:
        if self.champion.bundle is None:
            raise HTTPException(503, f"Not ready: {self.champion.problem}.")
        return True

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        self.watch.stop()
        self.shoppers.close()


def _packed() -> Path | None:
    """The bundle inside the Bento; None where the service runs from its source."""
    bento = PricebookService.bento  # type: ignore[attr-defined]
    if bento is None:
        return None
    tag = next(model.tag for model in bento.info.all_models if model.tag.name == "pricebook")
    return Path(bentoml.models.get(tag).path)
