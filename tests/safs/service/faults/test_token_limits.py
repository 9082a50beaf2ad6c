"""What each token may have, however many ask for it at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from safs.service.ids import new_id
from safs.service.states import State
from safs.service.store import leases, lifecycle, studies, submissions, tokens
from safs.service.store.tables import StudyRow


def test_a_token_queues_no_more_than_it_may_however_many_submissions_come_at_once(server, tiny_config):
    with server.client(server.make_token("three", most_queued=3)) as client, ThreadPoolExecutor(12) as pool:

        def submit(_):
            return client.post("/v1/studies", files={"config": (None, tiny_config)})

        answers = list(pool.map(submit, range(12)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 9
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        listed = client.get("/v1/studies").json()["studies"]
        taken = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert {study["id"] for study in listed} == taken
        with server.client(server.make_token("another")) as other:
            assert submit_to(other, tiny_config) == 201
        client.post(f"/v1/studies/{taken.pop()}/cancel").raise_for_status()
        assert submit_to(client, tiny_config) == 201
        assert submit_to(client, tiny_config) == 429


def submit_to(client, config):
    return client.post("/v1/studies", files={"config": (None, config)}).status_code


def test_an_upload_that_is_too_large_is_refused_though_nobody_said_how_large_it_is(server, tiny_config):
    def body():
        yield f'--limit\r\nContent-Disposition: form-data; name="config"\r\n\r\n{tiny_config}\r\n'.encode()
        yield b'--limit\r\nContent-Disposition: form-data; name="checkpoint"; filename="a"\r\n\r\n'
        for _ in range(100):
            largest.extend(path.stat().st_size for path in (server.home / "studies").glob("*/input/checkpoint.part"))
            yield b"\0" * 10**6

    largest = []
    before = sorted((server.home / "studies").iterdir())
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    with server.client(server.make_token("narrow", most_bytes=3 * 10**6)) as client:
        answer = client.post("/v1/studies", content=body(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["field"] == "checkpoint"
    assert max(largest, default=0) <= 3 * 10**6
    assert sorted((server.home / "studies").iterdir()) == before


SHARES = {"small": 1.0, "half": 1.5, "free": None}


@pytest.fixture
def owners(database):
    """The ids of three tokens and their shares."""
    with database.writing() as connection:
        for name, share in SHARES.items():
            tokens.create(connection, name, tokens.Scope.SUBMIT, most_gpus=share)
        return {token.id: token.most_gpus for token in tokens.every(connection)}


def submit(database, owner, gpus, priority=0):
    new = submissions.Submission(
        name="tiny", priority=priority, config="", model="lenet5", data="digits", searcher="lahc", gpus=gpus,
        checkpoint=None, mask=None, idempotency_key=None, request="0" * 64,
    )  # fmt: skip
    with database.writing() as connection:
        return submissions.submit(connection, owner, new, id=new_id(), most_queued=None)


def test_workers_that_claim_at_once_never_give_a_token_more_gpus_than_its_share(database, owners):
    waiting = [submit(database, owner, gpus) for _ in range(12) for owner in owners for gpus in (0.0, 0.5, 1.0)]
    taken, exceeded, lock = [], [], threading.Lock()

    def work(name):
        while True:
            lease = leases.claim(database, name, 60)
            if lease is None:
                with database.reading() as connection:
                    if not studies.counts(connection)[State.QUEUED]:
                        return
                continue
            with database.writing() as connection:
                query = select(StudyRow.token_id, func.sum(StudyRow.gpus)).where(StudyRow.state == State.RUNNING)
                used = dict(connection.execute(query.group_by(StudyRow.token_id)).all())
                over = {owner: gpus for owner, gpus in used.items() if gpus > (owners[owner] or 1e9)}
            with lock:
                taken.append(lease.study_id)
                exceeded.extend(over.items())
            with database.writing() as connection:
                ended = database.now(connection)
                lifecycle.transition(
                    connection, lease.study_id, State.RUNNING, State.SUCCEEDED, lease=lease.name, ended=ended
                )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, "abcdef"))
    assert exceeded == []
    assert sorted(taken) == sorted(waiting), "each ran once"


def test_who_waits_for_a_gpu_holds_up_nobody_else(database, owners):
    small, half, free = owners
    wanted = [submit(database, small, 1.0), submit(database, small, 1.0, priority=9), submit(database, small, 0.0)]
    half_ones = [submit(database, half, 1.0), submit(database, half, 1.0), submit(database, half, 0.5)]
    frees = [submit(database, free, 4.0, priority=-3), submit(database, free, 4.0)]
    claimed = []
    while (lease := leases.claim(database, "here", 60)) is not None:
        claimed.append(lease)
    first = wanted[1], wanted[2], half_ones[0], half_ones[2], frees[1], frees[0]
    assert [lease.study_id for lease in claimed] == list(first)
    with database.writing() as connection:
        study = studies.get(connection, wanted[1])
        assert lifecycle.cancel(connection, study)
        assert lifecycle.transition(connection, study.id, State.RUNNING, State.CANCELED, lease=claimed[0].name)
    assert leases.claim(database, "here", 60).study_id == wanted[0], "as soon as there is room"
    assert leases.claim(database, "here", 60) is None
