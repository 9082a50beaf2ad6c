"""Studies: submitted, listed, looked at, canceled, resumed, deleted."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from safs.service.api.allowance import allowance
from safs.service.api.auth import Reader, Submitter, owner
from safs.service.api.context import Service, Serving
from safs.service.api.parameters import MOST_NAME, IdempotencyKey, OlderThan, PartOfName, StudyId
from safs.service.api.problems import Problem, documented
from safs.service.api.schemas import MeAnswer, StudiesAnswer, StudyAnswer, TrialsAnswer, answered, shown
from safs.service.api.submission import MOST_PRIORITY, accept
from safs.service.api.uploads import FILES, TEXTS
from safs.service.picture import picture
from safs.service.states import State
from safs.service.store import lifecycle, studies, trials
from safs.service.store.studies import Study
from safs.service.store.tokens import Token

router = APIRouter(prefix="/v1", tags=["studies"])

_FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["config"],
            "additionalProperties": False,
            "properties": {
                "config": {"type": "string", "maxLength": TEXTS["config"], "description": "The study, as YAML."},
                "name": {"type": "string", "maxLength": MOST_NAME},
                "priority": {"type": "integer", "minimum": -MOST_PRIORITY, "maximum": MOST_PRIORITY},
                **{name: {"type": "string", "format": "binary"} for name in FILES},
            },
        },
        "example": {
            "config": "model: lenet5\ndata: mnist\ntrain: {epochs: 8, optimizer: sgd, lr: 0.1}\n",
            "name": "first",
            "checkpoint": "(the content of pruned.pt)",
        },
    }
}


@router.post(
    "/studies",
    status_code=201,
    response_model=StudyAnswer,
    responses=documented(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 507)
    | {200: {"model": StudyAnswer, "description": "It was submitted before, with the same key."}},
    openapi_extra={"requestBody": {"required": True, "content": _FORM}},
)
async def submit(
    request: Request,
    response: Response,
    service: Serving,
    token: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Submit a study: its config, and its pruned checkpoint if it does not train and prune a network itself.

    It is checked before it is queued: the answer says what is wrong, or the study waits for its turn.
    """
    study, new = await accept(request, service, token, idempotency_key)
    response.headers["Location"] = f"{request.url.path}/{study.id}"
    if not new:
        response.status_code = 200
    return shown(study)


@router.get("/studies", response_model=StudiesAnswer, responses=documented(401, 422, 503))
def list_studies(
    service: Serving,
    token: Reader,
    state: Annotated[list[State] | None, Query()] = None,
    name: PartOfName = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: OlderThan = None,
) -> Response:
    """List studies, newest first."""
    with service.database.reading() as connection:
        found = studies.listed(
            connection, token_id=owner(token), states=state or (), name=name, limit=limit + 1, below=after
        )
    page = found[:limit]
    following = page[-1].id if len(found) > limit else None
    return answered(StudiesAnswer, {"studies": [shown(study) for study in page], "next": following})


@router.get("/studies/{id}", response_model=StudyAnswer, responses=documented(401, 404, 422, 503))
def study(id: StudyId, service: Serving, token: Reader) -> Response:
    """Return one study."""
    return answered(StudyAnswer, shown(find(service, token, id)))


@router.get(
    "/studies/{id}/config",
    response_class=Response,
    responses=documented(401, 404, 422, 503) | {200: {"content": {"text/yaml": {"schema": {"type": "object"}}}}},
)
def config(id: StudyId, service: Serving, token: Reader) -> Response:
    """Return the config that a study runs, every default written out."""
    with service.database.reading() as connection:
        _of(token, studies.get(connection, id))
        return Response(studies.config(connection, id), media_type="text/yaml")


@router.get("/studies/{id}/trials", response_model=TrialsAnswer, responses=documented(401, 404, 422, 503))
def list_trials(
    id: StudyId,
    service: Serving,
    token: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """List the trials of a study that have ended, oldest first."""
    with service.database.reading() as connection:
        _of(token, studies.get(connection, id))
        found = trials.after(connection, id, after, limit + 1)
    page = found[:limit]
    following = page[-1]["n"] if len(found) > limit else None
    return answered(TrialsAnswer, {"trials": page, "next": following})


@router.post(
    "/studies/{id}/cancel",
    status_code=202,
    response_model=StudyAnswer,
    responses=documented(401, 403, 404, 409, 422, 503),
)
def cancel(id: StudyId, service: Serving, token: Submitter) -> dict[str, Any]:
    """Cancel a study; what its finished trials came to is kept."""
    with service.database.writing() as connection:
        found = _of(token, studies.get(connection, id, for_update=True))
        if not lifecycle.cancel(connection, found):
            raise Problem(409, f"The study is {found.state} already; only one that waits or runs can be canceled.")
        return shown(_of(token, studies.get(connection, id)))


@router.post(
    "/studies/{id}/resume",
    status_code=202,
    response_model=StudyAnswer,
    responses=documented(401, 403, 404, 409, 422, 429, 503),
)
def resume(id: StudyId, service: Serving, token: Submitter) -> dict[str, Any]:
    """Queue a study again that has failed or was canceled; its finished trials are not run again."""
    with service.database.writing() as connection:
        found = _of(token, studies.get(connection, id, for_update=True))
        if not lifecycle.resume(connection, found, most_queued=service.settings.limits.queued):
            raise Problem(409, f"The study is {found.state}; only one that FAILED or was CANCELED can be resumed.")
        return shown(_of(token, studies.get(connection, id)))


@router.delete("/studies/{id}", status_code=204, responses=documented(401, 403, 404, 409, 422, 503))
def delete(id: StudyId, service: Serving, token: Submitter) -> None:
    """Delete a study that has ended, with all its files."""
    with service.database.writing() as connection:
        found = _of(token, studies.get(connection, id, for_update=True))
        if not lifecycle.remove(connection, id):
            raise Problem(409, f"The study is {found.state}; cancel it before it is deleted.")
    service.storage.remove(id)


@router.get("/me", response_model=MeAnswer, responses=documented(401, 503))
def me(service: Serving, token: Reader) -> dict[str, Any]:
    """Say who asks, and what they may have."""
    limits = asdict(allowance(token, service.settings.limits))
    return {"name": token.name, "scope": token.scope, "limits": limits}


@router.get("/studies/{id}/picture", responses=documented(401, 404, 422, 503))
def draw(id: StudyId, service: Serving, token: Reader) -> Response:
    """Return what the page draws: the sites, the curve of stage 1, the suggestions of stage 2, the rows."""
    with service.database.reading() as connection:
        found = _of(token, studies.get(connection, id))
        ended = trials.after(connection, id, 0)
        text = studies.config(connection, id)
    drawn = picture(found, text, ended, service.storage.files(id, found.files))
    return Response(json.dumps(drawn, allow_nan=False), media_type="application/json")


def find(service: Service, token: Token, id: str) -> Study:
    """Return a study that a token may see.

    Raises:
        Problem: 404 if there is none.
    """
    with service.database.reading() as connection:
        return _of(token, studies.get(connection, id))


def _of(token: Token, study: Study | None) -> Study:
    if study is None or owner(token) not in (None, study.token_id):
        raise Problem(404, "There is no such study.")
    return study
