"""Whether the server lives, whether it can work, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from safs.service.api.context import Serving
from safs.service.api.problems import ProblemResponse, answer, documented
from safs.service.store import studies

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None, responses=documented(503))
def readyz(service: Serving) -> JSONResponse | ProblemResponse:
    """Say whether the database answers and the storage can be written."""
    if not service.database.answers():
        return answer(503, "The database does not answer.")
    if not service.storage.writable():
        return answer(503, "The storage cannot be written.")
    return JSONResponse({"status": "ok"})


@router.get("/metrics", response_class=Response, responses=documented(503) | {200: {"content": {"text/plain": {}}}})
def metrics(service: Serving) -> Response:
    """Return counts of studies and requests for Prometheus."""
    registry = CollectorRegistry()
    gauge = Gauge("safs_studies", "Studies by state", ["state"], registry=registry)
    with service.database.reading() as connection:
        for state, count in studies.counts(connection).items():
            gauge.labels(state=state.lower()).set(count)
    return Response(generate_latest(registry) + generate_latest(service.requests), media_type=CONTENT_TYPE_LATEST)
