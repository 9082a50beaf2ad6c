"""Who asks, and whether they may."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from safs.service.api.context import Service
from safs.service.api.problems import CHALLENGE, Problem
from safs.service.scopes import Scope
from safs.service.store import tokens
from safs.service.store.tokens import Token
from spaces.errors import shown

_scheme = HTTPBearer(auto_error=False, description="A token of `safs token create`.")
_LONGEST = 200


def _find(service: Service, secret: str) -> Token | None:
    with service.database.reading() as connection:
        return tokens.find(connection, secret)


def _check_parameters(request: Request) -> None:
    """Refuse parameters that an operation does not have: misspelt ones would be passed over in silence."""
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            there = ", ".join(known) or "none"
            raise Problem(422, f"Unknown parameter {shown(name)}; there are: {there}.", field=name[:_LONGEST])


def _at_least(scope: Scope) -> object:
    """Return what gives an operation the token that asks for it; one dependency, as each takes time in every answer."""

    async def check(request: Request, _: Annotated[object, Depends(_scheme)]) -> Token:
        kind, _space, secret = request.headers.get("authorization", "").partition(" ")
        good = kind.lower() == "bearer" and 0 < len(secret) <= _LONGEST
        token = await to_thread.run_sync(_find, request.app.state.service, secret) if good else None
        if token is None:
            raise Problem(401, "A token is needed that is good here: Authorization: Bearer safs_...", headers=CHALLENGE)
        _check_parameters(request)
        if not token.scope.includes(scope):
            raise Problem(403, f"This needs a token of the scope {scope}; that of {token.name!r} is {token.scope}.")
        return token

    return Depends(check)


Reader = Annotated[Token, _at_least(Scope.READ)]
Submitter = Annotated[Token, _at_least(Scope.SUBMIT)]


def owner(token: Token) -> int | None:
    """Return whose studies a token sees: its own, or (None) everybody's."""
    return None if token.scope is Scope.ADMIN else token.id
