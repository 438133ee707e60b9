"""Requests that are refused: one exception, one typed JSON body, and how a body is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

LONGEST_ECHO = 200  # characters of a wrong value that are sent back

B = TypeVar("B", bound=BaseModel)


class RequestError(Exception):
    """A request that is not answered: HTTP status, a word for programs, and one for people."""

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
        self.body = {"error": error, "detail": detail, "received": _echo(received)}


def _echo(received: Any) -> Any:
    text = received if isinstance(received, str) else repr(received)
    if len(text) <= LONGEST_ECHO:
        return received
    return f"{text[:LONGEST_ECHO]}..."


def parse(model: type[B], body: bytes) -> B:
    """The body as a request.

    Raises:
        RequestError: 400 where it is not JSON, 422 where it is not this request; names the field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, body) from None


def _refusal(error: ValidationError, body: bytes) -> RequestError:
    problem = error.errors(include_url=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        received = body[: LONGEST_ECHO + 1].decode(errors="replace")
        return RequestError(400, "malformed_body", f"{problem['msg']}.", received)
    where = ".".join(str(part) for part in problem["loc"]) or "the body"
    return RequestError(422, "invalid_body", f"{where}: {problem['msg']}.", problem["input"])
