"""Where errors become text and exit codes; nothing below prints or exits."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from jobgen.cli.console import painted, shown
from jobgen.cli.helptext import first_sentence, usage_error
from jobgen.errors import INTERNAL, JobgenError
from jobgen.language import chosen, label, say_language, translated
from jobgen.settings import stored_language


def say(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(painted(shown(text)), err=True)


def say_wrong(message: str, hint: str = "") -> None:
    """An error in the chosen language; each part for itself, since it may have several lines."""
    say(label("error: {message}").replace("{message}", translated(message)))
    if hint:
        say(f"       {translated(hint)}")


def drop_unwritable() -> None:
    """Send what a full disk would not take to nowhere: Python writes it once more as it ends, and
    the exit code would be 120 in place of ours."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
        except ValueError:  # closed already
            continue


def say_fault(error: Exception) -> None:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    say_wrong(
        f"a fault of jobgen: {type(error).__name__}: {error} ({place})",
        "Please report it with the call and what --debug shows: jobgen --debug ...",
    )


def end_wrong_call(ctx: click.Context, error: click.UsageError) -> None:
    """Say what is wrong with a call. English is left to click."""
    if chosen() == "en":
        raise error
    click.echo(usage_error(error), err=True)
    ctx.exit(error.exit_code)


class Sentences(click.Group):
    """A group whose help gives the first sentence of every command whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, first_sentence(command)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Boundary(click.Group):
    """The command group: one message for a known error, no traceback without --debug."""

    def main(self, *args: Any, **extra: Any) -> Any:
        # A console in GBK must not break a message that names a file in another language.
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        # Nothing of an earlier call in the same process.
        for who, code in (("option", ""), ("job", ""), ("settings", stored_language())):
            say_language(who, code)
        try:
            return super().main(*args, **extra)
        finally:
            drop_unwritable()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except JobgenError as error:
            if ctx.params.get("debug"):
                raise
            say_wrong(error.message, error.hint or "")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(130)
        except OSError as error:
            # Of EPIPE, as `head` makes it when it has seen enough, click makes a quiet end.
            if error.errno == errno.EPIPE or ctx.params.get("debug"):
                raise
            place = f"{error.filename}: " if error.filename else ""
            say_wrong(f"{place}{error.strerror or error}")
            ctx.exit(7)
        except click.UsageError as error:
            end_wrong_call(ctx, error)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            say_fault(error)
            ctx.exit(INTERNAL)
