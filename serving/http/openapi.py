"""The OpenAPI description: built from the schemas, with their examples and every error body."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.http.event_schemas import EventsReply, EventsRequest
from serving.http.schemas import (
    ErrorReply,
    ForecastReply,
    ForecastRequest,
    QuoteReply,
    QuoteRequest,
    QuotesReply,
    QuotesRequest,
    VerifyReply,
    VerifyRequest,
)

REFERENCE = "#/components/schemas/{model}"
Route = tuple[str, str, type[BaseModel], type[BaseModel]]

ROUTES: tuple[Route, ...] = (
    ("/quote", "A price for one sku", QuoteRequest, QuoteReply),
    ("/quotes", "Prices for many skus at once", QuotesRequest, QuotesReply),
    ("/verify", "Whether a quote is ours and stands", VerifyRequest, VerifyReply),
    ("/events", "What happened in the shop", EventsRequest, EventsReply),
    ("/forecast", "Demand for a sku, also at another price", ForecastRequest, ForecastReply),
)
ERRORS = {
    "400": "The body is not JSON",
    "401": "There is no API key, or none that counts",
    "403": "The API key is not for this",
    "404": "The price book does not list the sku, or not in that zone",
    "408": "The body did not come within ten seconds",
    "413": "Too many items, or too large a body",
    "422": "A field is missing, unknown, of the wrong type or out of range",
    "429": "The API key asks too fast; Retry-After says when to ask again",
    "503": "There is no champion to quote from yet, or the API keys could not be read",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`pricebook keys issue`); asked for once one was issued",
}
KEYS: list[dict[str, list[str]]] = [{}, {"key": []}]
SYSTEM = {
    "/livez": ("Whether the process lives", "text/plain"),
    "/readyz": ("Whether there is a champion to quote from; if not, why", "text/plain"),
    "/metrics": ("Prometheus metrics", "text/plain"),
}


def description() -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    models: list[type[BaseModel]] = [ErrorReply]
    models += [model for _, _, asked, reply in ROUTES for model in (asked, reply)]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pricebook",
            "version": "1",
            "description": "Fair, explainable prices. Money is in minor units of the currency.",
        },
        "servers": [{"url": "."}],
        "paths": {path: _path(summary, asked, reply) for path, summary, asked, reply in ROUTES}
        | {path: _system(*about) for path, about in SYSTEM.items()},
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": BEARER}},
    }


def _path(summary: str, asked: type[BaseModel], reply: type[BaseModel]) -> dict[str, Any]:
    answers = {"200": {"description": "Answered", "content": _json(reply)}} | {
        status: {"description": why, "content": _json(ErrorReply)} for status, why in ERRORS.items()
    }
    body = {"required": True, "content": _json(asked)}
    about = {"summary": summary, "description": asked.__doc__, "tags": ["prices"]}
    return {"post": {**about, "requestBody": body, "responses": answers, "security": KEYS}}


def _system(summary: str, media: str) -> dict[str, Any]:
    content = {media: {"schema": {"type": "string"}}}
    answers = {"200": {"description": "Yes", "content": content}}
    return {"get": {"summary": summary, "tags": ["system"], "responses": answers}}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    examples = model.model_config.get("json_schema_extra")
    if isinstance(examples, dict) and isinstance(found := examples.get("examples"), list):
        content["examples"] = {f"{n}": {"value": one} for n, one in enumerate(found, start=1)}
    return {"application/json": content}
