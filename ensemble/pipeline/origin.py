"""Which study file a store came from, noted beside it, so that a worker can find the files that the study names."""

from __future__ import annotations

import json
from pathlib import Path

from ensemble.config import StudyFile, study_from_record
from ensemble.errors import StoreRefused
from ensemble.plan import Plan
from ensemble.store import Place, Store, beside, write_whole
from ensemble.store.place import read_file

ENDING = "study"


def remember_study(plan: Plan, store: Place) -> None:
    """Note the study file of a plan beside its store; safe in several processes at once."""
    text = json.dumps({"study": str(plan.study.document.file.absolute())}).encode()
    note = beside(store, ENDING)
    if read_file(note) != text:
        write_whole(note, text)


def study_of(store: Store) -> StudyFile:
    """The study of a store, as its own record says it; the note tells only where the files lie that it names.

    Raises:
        StoreRefused: there is no note beside the store.
        InputError: this version does not know a key of the record.
    """
    try:
        file = Path(json.loads(read_file(beside(store.path, ENDING)) or b"")["study"])
    except (ValueError, KeyError, TypeError):
        raise StoreRefused(f"nothing beside {store.path} tells where its study lies; add --study FILE") from None
    return study_from_record(store.attrs["study"], file)
