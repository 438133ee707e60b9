"""The BentoML service.

`PostMiddleware` answers the POST routes. BentoML provides the packaging, the worker processes, the
health checks, the metrics and the page at /.
"""

from __future__ import annotations

from pathlib import Path

import bentoml
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as Page

from pricebook.config import Settings
from serving.http.docs_page import PAGE
from serving.http.middleware import PostMiddleware, Route
from serving.http.openapi import description
from serving.logs import use_json_logs

# The middleware is registered when this module is imported. Each worker fills in its routes later,
# when it has loaded the champion.
ROUTES: dict[str, Route] = {}


async def docs_page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def openapi(_: Request) -> Response:
    return Response(to_json(description()), media_type="application/json")


async def method_not_allowed(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = f"{request.url.path}: {error.detail}."
    body = {"error": "not_allowed", "detail": detail, "received": request.method}
    return JSONResponse(body, error.status_code, headers=error.headers)


APP = Starlette(
    routes=[Page("/", docs_page), Page("/openapi.json", openapi), Page("/docs.json", openapi)],
    exception_handlers={HTTPException: method_not_allowed},
)


@bentoml.asgi_app(APP, path="/")
@bentoml.service(
    name="pricebook",
    workers=Settings().service_workers,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False, "skip_paths": ["/quote", "/quotes", "/events"]}},
    tracing={"excluded_urls": "/quote,/quotes,/events"},
)
class PricebookService:
    """Fair, explainable prices in milliseconds."""

    def __init__(self) -> None:
        from serving.http.handlers import Handlers
        from serving.state.champion import tune_process

        use_json_logs()
        self.handlers = Handlers.from_home(Settings(), _packed_bundle())
        ROUTES.update(self.handlers.routes())
        tune_process()
        self.background_tasks = self.handlers.background_tasks()
        for task in self.background_tasks:
            task.start()

    async def __is_ready__(self) -> bool:
        champion = self.handlers.quoter.champion
        if champion.in_service is None:
            raise HTTPException(503, f"Not ready: {champion.problem}.")
        return True

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        for task in self.background_tasks:
            task.stop()
        self.handlers.close()


PricebookService.add_asgi_middleware(PostMiddleware, routes=ROUTES)  # type: ignore[attr-defined]


def _packed_bundle() -> Path | None:
    """The folder of the bundle inside the Bento, or None if the service runs from its source."""
    bento = PricebookService.bento  # type: ignore[attr-defined]
    if bento is None:
        return None
    tag = next(model.tag for model in bento.info.all_models if model.tag.name == "pricebook")
    return Path(bentoml.models.get(tag).path)
