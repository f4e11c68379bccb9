"""The options with which a printed command finds the same data as the process that prints it.

A report, a page or a note tells somebody what to run next; it has to run as it is pasted. So it
names what that shell could not know: the settings file and the data directory, where they are not
the default ones, absolute and quoted for a POSIX shell.

What is not done: a store that was given as SHALT_STORE is not named, for it may hold a password;
whoever runs commands against it has that variable set.
"""

import shlex

from shalt.settings import Settings


def options_of(settings: Settings) -> tuple[str, ...]:
    """Name the options, as words: `("--data-dir", "/srv/shalt")`; none where all is default."""
    words: list[str] = []
    if settings.config is not None:
        words += ["--config", str(settings.config.absolute())]
    if settings.data_dir != Settings.model_fields["data_dir"].default:
        words += ["--data-dir", str(settings.data_dir.absolute())]
    return tuple(words)


def invocation(settings: Settings, command: str, *, project: bool = False) -> str:
    """Write a command so that it may be pasted: `shalt drift ls --data-dir /srv/shalt`.

    `project`: name the project, too, where it is not the default one.
    """
    words = [*options_of(settings)]
    if project and settings.project != Settings.model_fields["project"].default:
        words += ["--project", settings.project]
    return " ".join([command, *map(shlex.quote, words)])
