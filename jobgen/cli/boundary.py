"""Where errors become text and exit codes; nothing below prints or exits."""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

from jobgen.errors import JobgenError


class Boundary(click.Group):
    """The command group: one message for a known error, no traceback without --debug."""

    def main(self, *args: Any, **extra: Any) -> Any:
        # A console in GBK must not break a message that names a file in another language.
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except JobgenError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {error.message}", err=True)
            if error.hint:
                click.echo(f"       {error.hint}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(130)
        except OSError as error:
            if (
                error.errno == errno.EPIPE
            ):  # the reader has gone, as `head` does: click ends quietly
                raise
            if ctx.params.get("debug"):
                raise
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {place}{error.strerror or error}", err=True)
            ctx.exit(7)
