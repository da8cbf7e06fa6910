"""A run's store, opened for its folder: the file inside it, or a schema of that name on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defender.errors import ResumeRefused
from defender.runs import RunFolder

if TYPE_CHECKING:
    from defender.store import SqlStore

BEGUN = "begun"
"""Kind of the note that says which run a schema on a server holds."""


def open_store(folder: RunFolder) -> SqlStore:
    """Open the store of a run for the process that owns it.

    Raises:
        StoreError: it cannot be opened, or another process owns it.
        ResumeRefused: the server has a run of that name with another configuration.
    """
    from defender.store import SqlStore

    store = SqlStore(folder.database)
    if folder.server is None:
        return store
    try:
        begun = store.notes(BEGUN).get("run")
        if begun is None:
            store.note(BEGUN, "run", {"digest": folder.digest})
        elif begun["digest"] != folder.digest:
            raise ResumeRefused(
                f"{folder.server} holds a run of that name with another configuration (digest "
                f"{str(begun['digest'])[:12]}, this one's is {folder.digest[:12]}); name this one otherwise with --run"
            )
    except BaseException:
        store.close()
        raise
    return store
