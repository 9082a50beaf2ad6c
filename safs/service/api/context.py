"""What the API's functions work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from safs.service.admission import Admission
from safs.service.api.feed import Feed
from safs.service.api.under_way import UnderWay
from safs.service.settings import ServiceSettings
from safs.service.storage.base import Storage
from safs.service.store.database import Database


@dataclass(frozen=True)
class Service:
    """The parts of a server."""

    settings: ServiceSettings
    database: Database
    storage: Storage
    admission: Admission
    feed: Feed
    requests: CollectorRegistry
    under_way: UnderWay


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]
