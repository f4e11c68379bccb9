"""The command `verify`: check an export, say what was found, answer by exit code.

Asked for with a store, it also looks whether that is where the export left: only the store knows
the SHA-256 of the manifest that it recorded then, which nobody who has the directory can forge.
"""

from contextlib import closing
from pathlib import Path

import msgspec

from exporters import verify as verifier
from exporters.checks import Check, Problems, State
from exporters.verify import Verification
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import counting_bar, print_json, print_line
from storage.counted import counted, plural
from storage.departures import find_departure

EXIT_HOLDS = 0
EXIT_FAILED = 3
_STYLES = {State.OK: "green", State.FAILED: "bold red", State.SKIPPED: "yellow"}
_MEGABYTE = 1_000_000


class ExportNotRead(Exception):
    """A file of the export cannot be read, or there is no room for scratch files."""


def verify(directory: Path, *, as_json: bool, settings: Settings | None = None) -> int:
    """Check the export in a directory; return EXIT_HOLDS only if everything holds.

    With `settings`, also against the store that they name.
    """
    bar = counting_bar("checking, MB")
    with bar:
        task = bar.add_task("", total=None)
        try:
            found = verifier.verify(
                directory,
                lambda done, total: bar.update(
                    task, completed=done // _MEGABYTE, total=-(-total // _MEGABYTE)
                ),
            )
        except OSError as error:
            raise ExportNotRead(
                f"cannot check {directory}: {error.strerror} ({error.filename}); nothing is proved"
            ) from error
    if settings is not None:
        recorded = _check_recorded(settings, found.manifest_sha256)
        found = msgspec.structs.replace(found, checks=(*found.checks, recorded))
    if as_json:
        print_json({"holds": found.holds, **msgspec.to_builtins(found)})
    else:
        _print(found)
    return EXIT_HOLDS if found.holds else EXIT_FAILED


def _check_recorded(settings: Settings, manifest_sha256: str) -> Check:
    """Say whether the store recorded this very manifest when it let the calls leave."""
    problems = Problems()
    with closing(open_store(settings)) as store:
        store.check()
        left = find_departure(store, manifest_sha256)
    if left is None:
        problems.add(
            f"the store recorded no export with the manifest {manifest_sha256[:16]}…: it is not "
            "from there, or was changed since"
        )
        return problems.check("recorded", "")
    says = f"the store recorded it on {left.created_at:%Y-%m-%d %H:%M} UTC, "
    says += counted(left.calls, "call")
    if left.erased:
        were = plural(left.erased, "was", "were")
        says += f"; {left.erased:,} of them {were} erased since: export again, and delete this one"
    return problems.check("recorded", says)


def _print(found: Verification) -> None:
    """Print a line for each check, what is wrong below it, and how long the rows are."""
    print_line(f"{found.directory}: project {found.project}, format {found.format}", style="bold")
    for check in found.checks:
        says = check.says
        if check.state is State.FAILED:
            says = counted(check.problem_count, "problem")
        print_line(f"  {check.state.value:<8}{check.name:<10}{says}", style=_STYLES[check.state])
        for problem in check.problems:
            print_line(f"{'':<20}{problem}")
        if check.problem_count > len(check.problems):
            print_line(f"{'':<20}and {check.problem_count - len(check.problems):,} more")
    for tokens in found.tokens:
        about = "" if tokens.exact else "about "
        print_line(
            f"  {tokens.file:<26}{tokens.rows:>9,} {plural(tokens.rows, 'row')}, "
            f"{about}{counted(tokens.total, 'token')}; the "
            f"longest, row {tokens.longest_row}, has {tokens.longest:,}"
        )
    print_line(f"  tokens: {found.tokenizer}; manifest: SHA-256 {found.manifest_sha256}")
    skipped = [check.name for check in found.checks if check.state is State.SKIPPED]
    if found.holds and skipped:
        print_line(f"What could be checked holds; skipped: {', '.join(skipped)}.", style="green")
    elif found.holds:
        print_line("Everything holds.", style="bold green")
    else:
        print_line("It does not hold: see what FAILED.", style="bold red")
