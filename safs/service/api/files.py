"""The files of studies: what they have made, and what they said."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from safs.service.api.auth import Reader
from safs.service.api.context import Serving
from safs.service.api.download import download, is_known
from safs.service.api.parameters import StudyId, TrialId
from safs.service.api.problems import Problem, documented
from safs.service.api.schemas import ArtifactsAnswer, answered, iso
from safs.service.api.studies import find
from safs.service.states import ENDED
from safs.service.storage.files import File
from safs.service.store.studies import Study

router = APIRouter(prefix="/v1", tags=["files"])

_MOST_LOG = 256 * 1024
_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
_FILE: dict[int | str, dict[str, Any]] = {
    status: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    for status in (200, 206)
}


@router.get("/studies/{id}/artifacts", response_model=ArtifactsAnswer, responses=documented(401, 404, 422, 503))
def artifacts(id: StudyId, service: Serving, token: Reader) -> Response:
    """List the files that a study has made so far."""
    found = service.storage.files(id, find(service, token, id).files).artifacts()
    files = [{"path": one.path, "size": one.size, "modified": iso(one.modified)} for one in found]
    return answered(ArtifactsAnswer, {"artifacts": files})


@router.get(
    "/studies/{id}/artifacts/{path:path}",
    response_class=Response,
    responses=_FILE | documented(401, 404, 409, 416, 422, 503) | {304: {"description": "It is what you have."}},
)
@router.head("/studies/{id}/artifacts/{path:path}", include_in_schema=False)
def artifact(
    request: Request,
    id: StudyId,
    path: Annotated[str, Path(max_length=500)],
    service: Serving,
    token: Reader,
    range: Annotated[str | None, Header()] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a file of a study that has ended, or the range of it that is asked for."""
    study = find(service, token, id)
    if study.state not in ENDED:
        raise Problem(409, f"The study is {study.state}, and its files may still change; wait for its end.")
    found = service.storage.files(id, study.files).artifact(path)
    if found is None:
        raise Problem(404, "There is no such artifact.")
    if if_none_match is not None and is_known(found, if_none_match):
        return Response(status_code=304, headers={"ETag": found.etag})
    return download(found, path.rpartition("/")[2], range, if_range, body=request.method != "HEAD")


@router.get("/studies/{id}/log", response_class=Response, responses=_TEXT | documented(401, 404, 422, 503))
def log(
    id: StudyId, service: Serving, token: Reader, offset: Annotated[int, Query(ge=-(2**40), le=2**40)] = 0
) -> Response:
    """Return what a study has said, from a byte on; a negative offset counts from the end."""
    study = find(service, token, id)
    return _part(study, service.storage.files(id, study.files).log(), offset)


@router.get(
    "/studies/{id}/trials/{trial_id}/log", response_class=Response, responses=_TEXT | documented(401, 404, 422, 503)
)
def trial_log(
    id: StudyId,
    trial_id: TrialId,
    service: Serving,
    token: Reader,
    offset: Annotated[int, Query(ge=-(2**40), le=2**40)] = 0,
) -> Response:
    """Return the log of one trial, from a byte on; a negative offset counts from the end."""
    study = find(service, token, id)
    found = service.storage.files(id, study.files).artifact(f"trials/{trial_id}/log.txt")
    if found is None:
        raise Problem(404, "There is no such trial.")
    return _part(study, found, offset)


def _part(study: Study, file: File | None, offset: int) -> Response:
    """Return a part of what a study or a trial has said, if it has said anything, and where that part ends."""
    content, following = b"", max(0, offset)
    if file is not None:
        start = max(0, file.size + offset) if offset < 0 else min(offset, file.size)
        content = file.read(start, _MOST_LOG)
        following = start + len(content)
    complete = study.state in ENDED and len(content) < _MOST_LOG
    headers = {"X-Next-Offset": str(following), "X-Complete": str(complete).lower()}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)
