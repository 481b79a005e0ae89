"""`jobgen serve`: an exported detector as a web service on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import click

from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen export output.zip --archive ssdd.zip --to server -o ssdd-model
  jobgen serve ssdd-model
  jobgen serve output.zip --port 9000
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address it listens on: 0.0.0.0 opens it to the network.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True,
              help="The port it listens on.")  # fmt: skip
@click.option("--token", envvar="DETECTOR_TOKEN", default="",
              help="A word that every request for boxes has to bring.")  # fmt: skip
@click.pass_obj
def command(console: Console, folder: Path, host: str, port: int, token: str) -> None:
    """Serve the detector in FOLDER: what jobgen export --to server has made, or
    the output of a run that exported to ONNX, a zip too.

    Its page is at the address that is printed: drop a picture there. Of FOLDER
    the model alone is used, none of its programs.
    """
    from jobgen.deploy.serving import find_service, service_command
    from jobgen.settings import load_settings

    spare = tempfile.TemporaryDirectory(prefix="jobgen-", ignore_cleanup_errors=True)
    place = find_service(folder, Path(click.get_current_context().with_resource(spare)))
    if host not in ("127.0.0.1", "localhost", "::1") and not token:
        console.say("anybody on the network may use it: --token WORD guards it")
    argv, env = service_command(place, load_settings().cache, console.say)
    argv += ["--host", host, "--port", str(port)]
    if token:
        # In the environment: other users of this machine can read the words of a command.
        env["DETECTOR_TOKEN"] = token
    console.say(f"serving {folder if place.is_relative_to(spare.name) else place}")
    process = subprocess.Popen(argv, env={**os.environ, **env})
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            # The service has had it too, and ends once what it works on is answered.
            continue
    if process.returncode not in (0, -2, -15):
        from jobgen.errors import RunError

        raise RunError(
            f"the service ended with exit code {process.returncode}",
            f"If port {port} is taken, give another: --port {port + 1 if port < 65535 else 8000}",
        )
