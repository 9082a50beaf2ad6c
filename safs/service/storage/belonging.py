"""Whether a storage and a database belong together: of what the database does not know, a sweep leaves nothing."""

from __future__ import annotations

from safs.service.storage.base import Storage
from spaces.errors import SafsError, brief


def check_belongs(storage: Storage, service: str, known: set[str], *, may_be_new: bool) -> None:
    """Check that a storage keeps the studies of a service, and note it if it keeps nobody's yet.

    Args:
        storage: of the studies' files.
        service: the id of the service, as its database says.
        known: the studies that the database knows.
        may_be_new: whether it may be one that keeps nothing yet of what the database knows. A server may be given one;
            a worker would end one study after the other, as their files are not there.

    Raises:
        SafsError: if it keeps those of another service, or nothing of this one, or cannot be used.
    """
    try:
        owner = storage.owner()
        if owner == service:
            return
        kept = storage.studies()
        if kept and (owner is not None or not kept & known):
            raise SafsError(
                f"The storage keeps {len(kept)} studies of another service than the database: one of the two is the "
                "wrong one. Set `database` or `storage` right, or give a new service an empty storage of its own."
            )
        if known and not kept and not may_be_new:
            raise SafsError(
                f"The storage keeps none of the {len(known)} studies that the database knows. Set `storage` to where "
                "the server keeps them; what only the server's machine can reach is no storage for other machines."
            )
        storage.set_owner(service)
    except OSError as error:
        raise SafsError(f"The storage cannot be used: {brief(error)}") from error
