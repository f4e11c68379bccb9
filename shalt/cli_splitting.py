"""Commands that divide groups and keep them apart: split, split top-up, testset."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, app, command

if TYPE_CHECKING:
    from shalt import settings, splitting
else:
    settings = Later("shalt.settings")
    splitting = Later("shalt.splitting")

split = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(
    split,
    name="split",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  shalt split\n  shalt split --test-ratio 0.2",
)
test_set = typer.Typer(
    help="Make and list targeted test sets.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(test_set, name="testset")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the set.")]


@split.callback()
def show_split(
    context: typer.Context,
    test_ratio: Annotated[
        float | None, typer.Option(metavar="R", min=0, max=1, help="Share of groups for test.")
    ] = None,
    val_ratio: Annotated[
        float | None,
        typer.Option(metavar="R", min=0, max=1, help="Share of groups for validation."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show or change how the project's groups are divided.

    A larger ratio takes groups from train that have not left in a train or val file; a smaller one
    releases none. Nothing ever comes back to train.
    """
    if context.invoked_subcommand is None:
        loaded = settings.load(config, data_dir=data_dir, project=project)
        splitting.split(loaded, test_ratio=test_ratio, val_ratio=val_ratio, as_json=as_json)


@command("shalt split top-up", "shalt split top-up --groups 60", name="top-up", to=split)
def top_up(
    groups: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Groups that test is to have; else its ratio."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Even if it takes more than half of train, for ever.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Take groups from train for test until it has its share. For fewer than 200 groups.

    The next ones by their hash, of those that have not left in a train or val file. Say it twice,
    and nothing more happens. Prints which difference the test set shows, before and after.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    splitting.split_top_up(loaded, groups=groups, yes=yes, as_json=as_json)


@command("shalt testset create hard --where \"tags['topic'] = 'refund'\"", to=test_set)
def create(
    name: Name,
    where: Annotated[
        str, typer.Option(metavar="SQL", help="Calls to choose: SQL over columns, tags.")
    ],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What the set is for.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Even if it takes more than half of train, for ever.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Choose the calls that match now for a targeted test set, for ever.

    Nothing of their groups leaves for training from then on. Calls of groups that have left in a
    train or val file are not taken, and listed. It is not random: no headline may come from it.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    splitting.make_test_set(loaded, name, where=where, note=note, yes=yes, as_json=as_json)


@command("shalt testset ls", to=test_set)
def ls(
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """List the project's targeted test sets."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    splitting.list_sets(loaded, as_json=as_json)


@command("shalt testset show hard", to=test_set)
def show(
    name: Name,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show a targeted test set, the filter that chose it, and its calls."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    splitting.show_set(loaded, name, as_json=as_json)


@command("shalt testset rm hard", to=test_set)
def rm(
    name: Name, config: Config = None, data_dir: DataDir = None, project: Project = None
) -> None:
    """Take a targeted test set out of the lists and of later exports.

    Its groups stay out of train and val, and its name stays used.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    splitting.remove_set(loaded, name)
