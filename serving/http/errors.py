"""Errors of requests: one exception with a typed JSON body, and the parsing that raises it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

MAX_ECHO = 200  # characters of a wrong value that are sent back

B = TypeVar("B", bound=BaseModel)


class RequestError(Exception):
    """A request that the service refuses.

    Attributes:
        status: the HTTP status.
        body: the JSON reply. `error` is a code for programs, `detail` a sentence for people, and
            `received` the wrong value, shortened.
        headers: additional response headers.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        received: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers
        self.body = {"error": error, "detail": detail, "received": _shorten(received)}


def _shorten(received: Any) -> Any:
    text = received if isinstance(received, str) else repr(received)
    if len(text) <= MAX_ECHO:
        return received
    return f"{text[:MAX_ECHO]}..."


def parse(model: type[B], body: bytes) -> B:
    """Parse and validate a JSON body.

    Raises:
        RequestError: 400 if it is not JSON; 422 if it does not fit the model, with the field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _request_error(error, body) from None


def _request_error(error: ValidationError, body: bytes) -> RequestError:
    problem = error.errors(include_url=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        received = body[: MAX_ECHO + 1].decode(errors="replace")
        return RequestError(400, "malformed_body", f"{problem['msg']}.", received)
    field = ".".join(str(part) for part in problem["loc"]) or "the body"
    return RequestError(422, "invalid_body", f"{field}: {problem['msg']}.", problem["input"])
