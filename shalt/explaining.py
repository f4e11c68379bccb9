"""The command `why`: what became of a call."""

from contextlib import closing

import msgspec

from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import one_line, print_json, print_line
from storage.fate import Fate, State, time_of_id
from storage.tracing import explain

EXIT_UNKNOWN = 2


def why(settings: Settings, call_id: str, *, as_json: bool) -> int:
    """Print what became of a call; return the exit code, EXIT_UNKNOWN where nobody knows it.

    Raise CallIdError for what is no id, StoreUnavailable where only the store could tell.
    """
    places = Places(settings.data_dir)
    with closing(open_store(settings)) as store:
        fate = explain(call_id, store=store, spool=places.spool, poison=places.poison)
    if as_json:
        print_json(msgspec.to_builtins(fate))
    else:
        _print(fate)
    return EXIT_UNKNOWN if fate.state is State.UNKNOWN else 0


def _print(fate: Fate) -> None:
    began = time_of_id(fate.call_id)
    state = fate.state if fate.reason is None else f"{fate.state} ({fate.reason})"
    print_line(f"{fate.call_id}  {state}", style="bold")
    print_line(one_line(fate.explanation))
    print_line(f"by its id it began {began:%Y-%m-%d %H:%M:%S} UTC", style="dim")
