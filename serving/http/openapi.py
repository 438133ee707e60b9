"""The OpenAPI description, built from the schemas, with examples and error bodies."""

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
Models = tuple[type[BaseModel], type[BaseModel]]  # request and reply

ROUTES: dict[str, tuple[str, Models]] = {
    "/quote": ("A price for one sku", (QuoteRequest, QuoteReply)),
    "/quotes": ("Prices for many skus at once", (QuotesRequest, QuotesReply)),
    "/verify": ("Whether a quote is authentic and valid", (VerifyRequest, VerifyReply)),
    "/events": ("Report events of the shop", (EventsRequest, EventsReply)),
    "/forecast": (
        "Demand for a sku, at its reference price or another",
        (ForecastRequest, ForecastReply),
    ),
}
ERRORS = {
    "400": "The body is not JSON",
    "401": "The API key is missing or not valid",
    "403": "The API key lacks the scope",
    "404": "The price book does not list the sku in this zone",
    "408": "The body did not arrive within ten seconds",
    "413": "Too many items, or too large a body",
    "422": "A field is missing, unknown, of the wrong type or out of range",
    "429": "The API key exceeds its rate; Retry-After says when to try again",
    "503": "There is no price book or demand model yet, or the API keys could not be read",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`pricebook keys issue`); required once one has been issued",
}
KEYS: list[dict[str, list[str]]] = [{}, {"key": []}]
SYSTEM = {
    "/livez": ("Whether the process is alive", "text/plain"),
    "/readyz": ("Whether quotes can be issued; if not, why", "text/plain"),
    "/metrics": ("Prometheus metrics", "text/plain"),
}


def description() -> dict[str, Any]:
    """The API as an OpenAPI 3.1 document."""
    models: list[type[BaseModel]] = [ErrorReply]
    models += [model for _, pair in ROUTES.values() for model in pair]
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
        "paths": {path: _post(summary, *pair) for path, (summary, pair) in ROUTES.items()}
        | {path: _get(*entry) for path, entry in SYSTEM.items()},
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": BEARER}},
    }


def _post(summary: str, request: type[BaseModel], reply: type[BaseModel]) -> dict[str, Any]:
    responses = {"200": {"description": "OK", "content": _json(reply)}} | {
        status: {"description": text, "content": _json(ErrorReply)}
        for status, text in ERRORS.items()
    }
    body = {"required": True, "content": _json(request)}
    texts = {"summary": summary, "description": request.__doc__, "tags": ["prices"]}
    return {"post": {**texts, "requestBody": body, "responses": responses, "security": KEYS}}


def _get(summary: str, media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string"}}}
    responses = {"200": {"description": "OK", "content": content}}
    return {"get": {"summary": summary, "tags": ["system"], "responses": responses}}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    extra = model.model_config.get("json_schema_extra")
    if isinstance(extra, dict) and isinstance(examples := extra.get("examples"), list):
        content["examples"] = {f"{n}": {"value": v} for n, v in enumerate(examples, start=1)}
    return {"application/json": content}
