"""The `jobgen` command: one file a subcommand, imported when it is called."""

from __future__ import annotations

import difflib
import gc
import importlib
from typing import Any

import click

from jobgen import __version__
from jobgen.cli.boundary import Boundary
from jobgen.cli.console import Console
from jobgen.cli.helptext import SpokenContext, speak
from jobgen.language import LANGUAGES, say_language

# name -> what `jobgen --help` says; the command itself is jobgen/cli/<name>.py.
COMMANDS = {
    "init": "Look at a data set and write its job.yaml.",
    "dataset": "Look at data sets and make new ones.",
    "check": "Find the faults of a job or data set.",
    "build": "Write the files to upload, or compare them.",
    "explain": "Show every value of a job and its origin.",
    "run": "Run a bundle's own notebook on this machine, for proof.",
    "sweep": "Try many values of a job, and rank them.",
    "submit": "Run a bundle as a job on AI Studio.",
    "jobs": "List your jobs on AI Studio.",
    "wait": "Wait for a job on AI Studio, to its verdict.",
    "logs": "Show what a job on AI Studio says.",
    "stop": "Stop a job on AI Studio.",
    "fetch": "Bring a job's output here, and see whether it is whole.",
    "upload": "Put a data set into an AI Studio repository.",
    "publish": "Put a model into an AI Studio repository.",
    "bench-data": "Measure how fast this machine reads a job's pictures.",
    "collect": "See whether a download is what the job promised.",
    "evaluate": "Measure weights that were downloaded.",
    "infer": "Draw what downloaded weights find.",
    "export": "Make a model for deployment of downloaded weights.",
    "serve": "Serve an exported detector on this machine.",
    "templates": "List, change, compare and try template packs.",
    "report": "Make a page of what a run left, or compare runs.",
    "doctor": "Say what works on this machine, and what doesn't.",
    "mirror": "Fetch beforehand what a job needs.",
    "cache": "Show or clear what is kept for the next run.",
    "models": "List the models of the catalogue.",
    "environments": "List AI Studio's environments.",
    "demo": "The whole way, on a small data set it makes.",
}


def command_named(name: str) -> click.Command:
    """The command of this name, imported."""
    found: click.Command = importlib.import_module(f"jobgen.cli.{name.replace('-', '_')}").command
    return speak(found)


class LazyCommands(Boundary):
    """Commands by name, so that `--help` imports none of them."""

    context_class = SpokenContext

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            close = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            if close:
                ctx.fail(f"No such command {cmd_name!r}. Did you mean: jobgen {close[0]}")
            return None
        return command_named(cmd_name)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: jobgen demo",
)
@click.version_option(__version__, "-V", "--version", prog_name="jobgen")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    expose_value=False,
    callback=lambda _ctx, _param, value: say_language("option", value),
    help="The language of this call.  [default: the system's]",
)
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """AI Studio background jobs for PaddleDetection, checked and tried before the upload."""
    ctx.obj = Console(debug=debug)


def entry() -> Any:
    # What a call reads, a large set or ten thousand trials, stays until its end: by default Python
    # looks through all of it again and again for what may go.
    gc.set_threshold(100_000, 20, 20)
    return main(prog_name="jobgen")
