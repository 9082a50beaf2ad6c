"""The application: the API, the page, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry

from safs.service.admission import Admission
from safs.service.api import events, health, problems, studies
from safs.service.api import files as study_files
from safs.service.api.context import Service
from safs.service.api.counting import Counting
from safs.service.api.feed import Feed
from safs.service.api.under_way import UnderWay
from safs.service.settings import ServiceSettings
from safs.service.storage.base import Storage
from safs.service.store.database import Database
from safs.version import __version__

_PAGE = Path(str(files("safs.service") / "page"))
_THREADS = 8
"""How many answers are made at a time. More threads would only wait for each other, and all answers with them."""
_ABOUT = "Submit a pruned checkpoint, watch the search of its activations, fetch the result."


def make_app(settings: ServiceSettings, database: Database, storage: Storage, *, runs_here: bool = True) -> FastAPI:
    """Return the application.

    Args:
        settings: of the service.
        database: migrated.
        storage: of the studies' files.
        runs_here: studies run on this machine, and not only on others.
    """
    feed, requests = Feed(database), CollectorRegistry()
    admission = Admission(settings.limits, runs_here=runs_here)
    service = Service(settings, database, storage, admission, feed, requests, UnderWay())
    # FastAPI's pages of documentation fetch their scripts from elsewhere.
    app = FastAPI(
        title="SAFS",
        version=__version__,
        description=_ABOUT,
        lifespan=_beside(feed),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to wherever the request's Host says
    )
    app.state.service = service
    for part in (studies, study_files, events, health):
        app.include_router(part.router)
    problems.handle_problems(app)
    _describe_problems(app)
    app.add_middleware(Counting, registry=requests)
    app.mount("/static", _Revalidated(directory=_PAGE), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    return app


class _Revalidated(StaticFiles):
    """Files that browsers ask for again, so that they see a new version of the page."""

    def file_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _beside(feed: Feed) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return lifespan


def _describe_problems(app: FastAPI) -> None:
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document["components"]["schemas"]["Problem"] = problems.SCHEMA
        for operations in document["paths"].values():
            for operation in operations.values():  # FastAPI's own description of 422, which is not what it answers here
                if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                    operation["responses"]["422"] = problems.documented(422)[422]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
