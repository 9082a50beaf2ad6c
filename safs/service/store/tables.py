"""The tables. Times are seconds since 1970, UTC, by the database's clock: those of several machines may differ."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_Serial = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER key counts by itself in SQLite


class Base(DeclarativeBase):
    """The tables' common root."""


class ServiceRow(Base):
    """Which service this is: one row, made with the tables, whose id the storage notes as well."""

    __tablename__ = "service"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)


class TokenRow(Base):
    """Who may do what. A token itself is stored nowhere, only its SHA-256.

    Attributes:
        scope: read, submit or admin; each includes those before it.
        most_queued, most_bytes, most_gpus: how many studies may wait, how large an upload may be, and how many GPUs its
            studies may have at a time; None for no limit of its own.
        revoked: when it was revoked, or None.
    """

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(10))
    most_queued: Mapped[int | None] = mapped_column(Integer)
    most_bytes: Mapped[int | None] = mapped_column(BigInteger)
    most_gpus: Mapped[float | None] = mapped_column(Float)
    created: Mapped[float] = mapped_column(Float)
    revoked: Mapped[float | None] = mapped_column(Float)


class StudyRow(Base):
    """A study.

    Attributes:
        id: 24 hexadecimal digits, growing with time.
        config: the resolved YAML.
        gpus: how many GPUs its trials take at a time.
        checkpoint: {"sha256", "bytes"} of what was uploaded, or None; `mask` likewise.
        idempotency_key, request: the key that its submitter gave, or None, and the SHA-256 of what was submitted.
        cancelling: whether its worker is to stop.
        attempts: how often a worker has begun it, and not given it back as it left, since a person last queued it.
        fruitless: how many of the last of these in a row have brought no trial to its end.
        lease: names the lease of the worker that runs it, or None; `leased_until` and `worker` belong to it.
        files: by what the storage finds the study's files, as its last worker stored them; None before.
        progress, summary: as the API shows them.
    """

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id"))
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    message: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer)
    config: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(String(200))
    data: Mapped[str] = mapped_column(String(200))
    searcher: Mapped[str] = mapped_column(String(50))
    gpus: Mapped[float] = mapped_column(Float)
    checkpoint: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    mask: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    request: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column(Float)
    started: Mapped[float | None] = mapped_column(Float)
    ended: Mapped[float | None] = mapped_column(Float)
    cancelling: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    fruitless: Mapped[int] = mapped_column(Integer, default=0)
    lease: Mapped[str | None] = mapped_column(String(32))
    leased_until: Mapped[float | None] = mapped_column(Float)
    worker: Mapped[str | None] = mapped_column(String(200))
    files: Mapped[str | None] = mapped_column(String(60))
    progress: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    summary: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        UniqueConstraint("token_id", "idempotency_key"),
        Index("studies_by_state", "state", "id"),
        Index("studies_by_owner", "token_id", "id"),
        Index("studies_by_turn", "state", text("priority DESC"), "id"),
    )


class TrialRow(Base):
    """A trial that ended: a copy of a record of the study's journal, in its order."""

    __tablename__ = "trials"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    n: Mapped[int] = mapped_column(Integer, primary_key=True)
    trial: Mapped[dict[str, object]] = mapped_column(JSON)


class EventRow(Base):
    """What happened to a study, for those who follow it; numbered in the order in which it was stored."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(10))
    data: Mapped[dict[str, object]] = mapped_column(JSON)

    __table_args__ = (Index("events_by_study", "study_id", "id"),)
