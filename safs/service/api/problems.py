"""Errors as RFC 9457 has them: `application/problem+json`, with the sentences of the command line."""

from __future__ import annotations

import json
import logging
import sqlite3
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from safs.service.api.parameters import refused
from safs.service.fields import FieldError
from safs.service.store.database import is_unusable
from safs.service.store.submissions import LimitError, OtherRequestError, RevokedError
from safs.storage import FULL
from spaces.errors import SafsError, brief, shown

_log = logging.getLogger(__name__)
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="safs"'}


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        detail: the sentence.
        field: which part of the request it is about.
        headers: further headers.
    """

    def __init__(
        self, status: int, detail: str, *, field: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, headers


class ProblemResponse(JSONResponse):
    """A JSON answer of the type of problems."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        # A sentence may quote what no text can hold, such as half a character.
        return json.dumps(content, ensure_ascii=False).encode(errors="replace")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes the errors of an operation."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The sentence that the command line would print."},
        "field": {"type": "string", "description": "The part of the request, or the key of the config, that is wrong."},
    },
    "example": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Unknown key 'stage1.iteration' in the config; did you mean 'iterations'? known here: ...",
        "field": "stage1.iteration",
    },
}


def handle_problems(app: FastAPI) -> None:
    """Answer with problems, whatever goes wrong."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> ProblemResponse:
        return answer(error.status, error.detail, field=error.field, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> ProblemResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = allowed = _allowed(request)
            return answer(405, f"{request.method} does nothing here; there is {allowed}.", headers=headers)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return answer(404, f"There is nothing at {shown(request.url.path)}.", headers=headers)
        return answer(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> ProblemResponse:
        name, sentence = refused(error.errors()[0])
        return answer(422, sentence, field=name)

    @app.exception_handler(SafsError)
    async def _safs(request: Request, error: SafsError) -> ProblemResponse:
        if isinstance(error, LimitError):
            return answer(429, str(error), headers={"Retry-After": "60"})
        if isinstance(error, OtherRequestError):
            return answer(409, str(error))
        if isinstance(error, RevokedError):
            return answer(401, str(error), headers=CHALLENGE)
        return answer(400, str(error), field=error.field if isinstance(error, FieldError) else None)

    @app.exception_handler(DataError)
    async def _unfit(request: Request, error: DataError) -> ProblemResponse:
        return answer(422, "The request has a value that the database cannot hold.")

    @app.exception_handler(SQLAlchemyError)
    @app.exception_handler(sqlite3.Error)
    async def _away(request: Request, error: Exception) -> ProblemResponse:
        if not is_unusable(error):
            raise error
        _log.error("The database does not answer: %s", brief(getattr(error, "orig", None) or error))
        return answer(503, "The database does not answer; try again.", headers={"Retry-After": "5"})

    @app.exception_handler(OSError)
    async def _no_storage(request: Request, error: OSError) -> ProblemResponse:
        _log.error("The storage cannot be used: %s", error.strerror or brief(error))
        if error.errno in FULL:
            return answer(507, "The service's storage is full; tell whoever runs it.")
        return answer(503, "The storage cannot be used now; try again.", headers={"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> ProblemResponse:
        return answer(500, "This is a fault of the service; its log says more.")


def _allowed(request: Request) -> str:
    """Return the methods that an address has, over all its routes; files, which are mounted, have two."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    there = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ", ".join(there or ("GET", "HEAD"))


def answer(
    status: int, detail: str, *, field: str | None = None, headers: dict[str, str] | None = None
) -> ProblemResponse:
    """Return a problem as an answer."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return ProblemResponse(body | ({"field": field} if field else {}), status, headers)
