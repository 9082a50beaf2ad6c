"""What parameters look like that have a form of their own, and what is said of those that have not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Path, Query

from safs.service.states import State
from spaces.errors import UnknownNameError, shown

MOST_NAME = 100
_STUDY, _TRIAL, _EVENT = "^[0-9a-f]{24}$", "^[0-9a-f]{16}$", "^[0-9]{0,18}$"
_KEY = "^[ -~]{1,200}$"
_NAME = r"^[^\x00-\x1f\x7f]*$"
_FORMS = {
    _STUDY: "A study's id has 24 digits of 0-9 and a-f, as `safs list` shows them",
    _TRIAL: "A trial's id has 16 digits of 0-9 and a-f",
    _EVENT: "An event's id is a number of at most 18 digits",
    _KEY: "An Idempotency-Key is 1 to 200 printable characters of ASCII",
    _NAME: "A name has no control characters",
}

StudyId = Annotated[str, Path(pattern=_STUDY, examples=["1a2006f2c0d2f0aa71b3c9d4"])]
TrialId = Annotated[str, Path(pattern=_TRIAL)]
LaterThan = Annotated[str, Header(alias="last-event-id", pattern=_EVENT)]
OlderThan = Annotated[str | None, Query(pattern=_STUDY)]
PartOfName = Annotated[str, Query(max_length=MOST_NAME, pattern=_NAME)]
IdempotencyKey = Annotated[str | None, Header(pattern=_KEY)]


def refused(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return which parameter is wrong and why, in a sentence, where the command line has one in the same.

    Args:
        error: one of pydantic's.
    """
    place, given = error["loc"], str(error.get("input"))
    name = str(place[1] if len(place) > 1 else place[0])
    form = _FORMS.get(error.get("ctx", {}).get("pattern", ""))
    if form is not None:
        return name, f"{form}, but got {shown(given)}."
    if error["type"] == "enum":
        return name, str(UnknownNameError(name, given, [state.value for state in State]))
    message = str(error["msg"])
    return name, f"{name}: {message[:1].lower()}{message[1:]}, but got {shown(given)}."
