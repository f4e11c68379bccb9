"""The command `verify`: check an export, say what was found, answer by exit code."""

from pathlib import Path

import msgspec

from exporters import verify as verifier
from exporters.checks import State
from exporters.verify import Verification
from shalt.terminal import counting_bar, print_json, print_line

EXIT_HOLDS = 0
EXIT_FAILED = 3
_STYLES = {State.OK: "green", State.FAILED: "bold red", State.SKIPPED: "yellow"}
_MEGABYTE = 1_000_000


class ExportNotRead(Exception):
    """A file of the export cannot be read, or there is no room for scratch files."""


def verify(directory: Path, *, as_json: bool) -> int:
    """Check the export in a directory; return EXIT_HOLDS only if everything holds."""
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
    if as_json:
        print_json({"holds": found.holds, **msgspec.to_builtins(found)})
    else:
        _print(found)
    return EXIT_HOLDS if found.holds else EXIT_FAILED


def _print(found: Verification) -> None:
    """Print a line for each check, what is wrong below it, and how long the rows are."""
    print_line(f"{found.directory}: project {found.project}, format {found.format}", style="bold")
    for check in found.checks:
        says = check.says
        if check.state is State.FAILED:
            says = "1 problem" if check.problem_count == 1 else f"{check.problem_count:,} problems"
        print_line(f"  {check.state.value:<8}{check.name:<10}{says}", style=_STYLES[check.state])
        for problem in check.problems:
            print_line(f"{'':<20}{problem}")
        if check.problem_count > len(check.problems):
            print_line(f"{'':<20}and {check.problem_count - len(check.problems):,} more")
    for tokens in found.tokens:
        about = "" if tokens.exact else "about "
        print_line(
            f"  {tokens.file:<26}{tokens.rows:>9,} rows, {about}{tokens.total:,} tokens; the "
            f"longest, row {tokens.longest_row}, has {tokens.longest:,}"
        )
    print_line(f"  tokens: {found.tokenizer}; manifest: SHA-256 {found.manifest_sha256}")
    if found.holds:
        print_line("Everything holds.", style="bold green")
    else:
        print_line("It does not hold: see what FAILED.", style="bold red")
