"""A submission on its way: received, checked, stored. Only then is it acknowledged, and never half."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from safs.checkpoints.source import TRUST
from safs.config.schema import Config
from safs.config.yaml_input import parse_mapping
from safs.files import write_atomically
from safs.service import policy
from safs.service.api.allowance import Allowance, allowance
from safs.service.api.context import Service
from safs.service.api.parameters import MOST_NAME
from safs.service.api.problems import Problem
from safs.service.api.uploads import Form, receive
from safs.service.fields import field_of
from safs.service.ids import new_id
from safs.service.storage.base import Incoming
from safs.service.storage.layout import CONFIG, INPUT
from safs.service.store import studies, submissions
from safs.service.store.studies import Study
from safs.service.store.submissions import Submission
from safs.service.store.tokens import Token
from spaces.errors import SafsError

MOST_PRIORITY = 100
_PRUNED_ALREADY = "The checkpoint is pruned already and keeps its mask; the config's `prune` was left out."


async def accept(request: Request, service: Service, token: Token, key: str | None) -> tuple[Study, bool]:
    """Take a submission, and return its study and whether it is new.

    Raises:
        Problem, SafsError: if it is refused; nothing of it is left.
    """
    allowed = allowance(token, service.settings.limits)
    with service.under_way.one_more(token.id, key, allowed.queued):
        async with _incoming(service) as incoming:
            await asyncio.to_thread(_check_room, service, token, allowed, key)
            form = await receive(request, incoming.folder / INPUT, allowed.upload_bytes)
            earlier = await asyncio.to_thread(_known, service, token, key, form)
            if earlier is not None:
                return earlier, False
            submission = await asyncio.to_thread(_submission, service, form, key, allowed)
            await asyncio.to_thread(write_atomically, incoming.folder / CONFIG, submission.config)
            checked = await _check(service, incoming, form)
            if checked != submission.config:
                submission = replace(submission, config=checked, message=_PRUNED_ALREADY)
                await asyncio.to_thread(write_atomically, incoming.folder / CONFIG, checked)
            return await asyncio.to_thread(_keep, service, token, allowed, submission, incoming)


@asynccontextmanager
async def _incoming(service: Service) -> AsyncIterator[Incoming]:
    """Give a folder for what comes; others are answered while the disk takes its time, as to remove what is refused."""
    made = service.storage.incoming()
    incoming = await asyncio.to_thread(made.__enter__)
    try:
        await asyncio.to_thread((incoming.folder / INPUT).mkdir)
        yield incoming
    except BaseException as error:
        await asyncio.to_thread(made.__exit__, type(error), error, error.__traceback__)
        raise
    else:
        await asyncio.to_thread(made.__exit__, None, None, None)


def _check_room(service: Service, token: Token, allowed: Allowance, key: str | None) -> None:
    """Refuse what there is no room for before it is sent, unless it may be what was sent before; see `submit`."""
    with service.database.reading() as connection:
        if key is None or not submissions.is_known(connection, token.id, key):
            submissions.check_queue(connection, token.id, allowed.queued)


def _known(service: Service, token: Token, key: str | None, form: Form) -> Study | None:
    with service.database.reading() as connection:
        earlier = submissions.known(connection, token.id, key, _digest(form))
        return studies.get(connection, earlier) if earlier is not None else None


def _keep(
    service: Service, token: Token, allowed: Allowance, submission: Submission, incoming: Incoming
) -> tuple[Study, bool]:
    """Store the files, then that there is a study; nothing of them is left if it is refused.

    Studies are listed and run in the order of their ids, so it gets its own only now, however long its upload took.
    If the database goes away at the wrong moment, nobody knows whether the study is there: then its files stay, and
    a server removes them, a day later, if it is not.
    """
    study_id = new_id()
    try:
        incoming.keep(study_id)
    except BaseException:
        service.storage.remove(study_id)
        raise
    try:
        study = _store(service, token, allowed, submission, study_id)
    except SafsError:
        service.storage.remove(study_id)
        raise
    if study.id != study_id:  # somebody was faster with the same key
        service.storage.remove(study_id)
    return study, study.id == study_id


def _store(service: Service, token: Token, allowed: Allowance, submission: Submission, study_id: str) -> Study:
    with service.database.writing() as connection:
        stored = submissions.submit(connection, token.id, submission, id=study_id, most_queued=allowed.queued)
        study = studies.get(connection, stored)
    assert study is not None, "it was stored in the same transaction"
    return study


def _config(service: Service, form: Form) -> Config:
    if "config" not in form.texts:
        raise Problem(400, "The form has no part `config`, the study as YAML.", field="config")
    try:
        values = parse_mapping(form.texts["config"], "The config")
        files = {name: upload.name for name, upload in form.files.items()}
        return policy.admitted(values, files, service.settings)
    except SafsError as error:
        raise Problem(400, str(error), field=field_of(error)) from None


async def _check(service: Service, incoming: Incoming, form: Form) -> str:
    try:
        return await service.admission.check(incoming.folder)
    except SafsError as error:
        # Whoever runs `safs` may trust a file; nobody who sends one can say so.
        sentence, field = str(error).replace(f", or {TRUST}", ""), field_of(error)
        for name, upload in form.files.items():
            if upload.name in sentence:
                sentence, field = sentence.replace(f"{INPUT}/{upload.name}", "that was uploaded"), name
        raise Problem(400, sentence, field=field) from None


def _submission(service: Service, form: Form, key: str | None, allowed: Allowance) -> Submission:
    config = policy.within_share(_config(service, form), allowed.gpus)
    return Submission(
        name=_name(form, config),
        priority=_priority(form),
        config=config.to_yaml(),
        model=config.model.name,
        data=config.data.name,
        searcher=config.stage1.searcher,
        gpus=policy.gpus(config),
        checkpoint=_described(form, "checkpoint"),
        mask=_described(form, "mask"),
        idempotency_key=key,
        request=_digest(form),
    )


def _name(form: Form, config: Config) -> str:
    usual = f"{config.model.name} {config.data.name}".replace("/", " ")[:MOST_NAME]
    name = form.texts.get("name", "").strip() or usual
    if len(name) > MOST_NAME or not name.isprintable() or "/" in name or "\\" in name:
        raise Problem(422, f"A name is at most {MOST_NAME} printable characters, none of them / or \\.", field="name")
    return name


def _priority(form: Form) -> int:
    text = form.texts.get("priority", "0").strip() or "0"
    if not text.removeprefix("-").isdecimal() or abs(int(text)) > MOST_PRIORITY:
        raise Problem(422, f"A priority is a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}.", field="priority")
    return int(text)


def _described(form: Form, name: str) -> Mapping[str, Any] | None:
    upload = form.files.get(name)
    return {"sha256": upload.sha256, "bytes": upload.bytes} if upload else None


def _digest(form: Form) -> str:
    """Return what identifies a request: its texts and its files."""
    files = {name: upload.sha256 for name, upload in form.files.items()}
    return hashlib.sha256(json.dumps([form.texts, files], sort_keys=True).encode()).hexdigest()
