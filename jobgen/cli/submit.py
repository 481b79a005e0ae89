"""`jobgen submit`: a bundle becomes a job on AI Studio."""

from __future__ import annotations

import ast
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console
from jobgen.target import job_of, upload_of

if TYPE_CHECKING:
    from jobgen.job.bundle import Bundle
    from jobgen.remote.jobs import Jobs
    from jobgen.remote.records import Record
    from jobgen.remote.submit import Order

EXAMPLES = """\b
Examples:
  jobgen submit bundles/ssdd --smoke
  jobgen submit bundles/ssdd --dataset 264241 --gpus 4
  jobgen submit bundles/ssdd --dry-run
"""


@click.command(epilog=EXAMPLES)
@click.argument("target", metavar="JOB|UPLOAD", type=click.Path(path_type=Path))
@click.option("--dataset", "datasets", multiple=True, type=click.IntRange(1), metavar="ID",
              help="A mounted data set's number; up to three.  [default: job.yaml's]")  # fmt: skip
@click.option("--gpus", type=click.Choice(["1", "4", "8"]),
              help="Cards that the job gets.  [default: job.yaml's]")  # fmt: skip
@click.option("--payment", type=click.Choice(["coupon", "acoin"]), default="coupon",
              show_default=True, help="What pays: computing points, or A coins.")  # fmt: skip
@click.option("--smoke", is_flag=True, help="One epoch of a few steps: it works, or says why not.")
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE",
              help="Set a parameter of the job, as in -p EPOCHS 20.")  # fmt: skip
@options.archives
@click.option("--dry-run", is_flag=True, help="Show the requests, and send nothing.")
@click.option("--package", type=click.Path(path_type=Path), metavar="ZIP",
              help="Write the job's files into ZIP, and send nothing.")  # fmt: skip
@click.option("--again", is_flag=True, help="Submit it once more while it runs.")
@click.option("--no-check", is_flag=True, help="Submit even where jobgen check finds errors.")
@shared.yes
@options.json_output
@click.pass_obj
def command(
    console: Console,
    target: Path,
    datasets: tuple[int, ...],
    gpus: str | None,
    payment: str,
    smoke: bool,
    parameters: tuple[tuple[str, str], ...],
    archives: tuple[Path, ...],
    dry_run: bool,
    package: Path | None,
    again: bool,
    no_check: bool,
    yes: bool,
    json_output: bool,
) -> None:
    """Run a bundle as a pipeline job on AI Studio, on a V100.

    It is checked, shown and asked about first; then made, uploaded, started and looked
    for in AI Studio's list. Call again where it broke off: what is there is finished,
    and nothing is submitted twice.
    """
    from jobgen.job.bundle import read_bundle
    from jobgen.remote.records import records_folder

    console.json_output = json_output
    upload = upload_of(target)
    bundle = read_bundle(upload)
    if not no_check:
        refuse_errors(console, upload, archives)
    given = {**dict(parameters), **({"SMOKE": "true"} if smoke else {})}
    order = order_of(bundle, datasets, gpus, payment, given)
    if package is not None:
        write_package(console, order, package)
        return
    order.need_possible()
    need_data(bundle, order)
    tell(console, target, order)
    if dry_run:
        rehearse(console, target, order, again)
        return
    with shared.connected() as jobs:
        record = submit_order(
            console.say, jobs, records_folder(target), order, again=again,
            agrees=lambda: console.confirmed("Submit it?", yes),
        )  # fmt: skip
    page = jobs.page(record.job)
    console.result(id=record.job, name=record.name, page=page, record=str(record.path))
    console.data(f"{record.job}  {record.name}\n{page}")
    console.say(f"Next: jobgen wait {record.job}\nthen: jobgen fetch {record.job}")


def write_package(console: Console, order: Order, path: Path) -> None:
    """Write what would be sent, for a submission by other means."""
    from jobgen.files import write_atomically

    write_atomically(path, order.code)
    console.result(package=str(path), sha256=order.digest, command=order.command)
    console.data(f"{path}  {len(order.code):,} bytes, SHA-256 {order.digest}")
    console.say(f"Its command is: {order.command}")


def refuse_errors(console: Console, upload: Path, archives: tuple[Path, ...]) -> None:
    """Say what the rules find in the bundle, and in its data where that is given."""
    from jobgen.check.rules import chosen_rules
    from jobgen.check.whole import check_whole

    checked = check_whole(upload, chosen_rules(), archives, progress=console.progress())
    if len(checked.findings):
        console.say(checked.findings.text())
    if checked.findings.errors:
        console.say("Nothing was submitted; to submit it all the same: --no-check")
        raise click.exceptions.Exit(1)


def order_of(
    bundle: Bundle, datasets: tuple[int, ...], gpus: str | None, payment: str, given: dict[str, str]
) -> Order:
    """What is asked of AI Studio. Raises SpecError for a parameter that the job does not have."""
    from jobgen.catalog import platform
    from jobgen.cli.run import parameter_value
    from jobgen.remote.program import PROGRAM, package
    from jobgen.remote.submit import Order
    from jobgen.run.kernel import parameter_defaults
    from jobgen.run.workspace import check_parameters, sources_of

    known = parameter_defaults(bundle.notebook)
    values = {name: parameter_value(text) for name, text in given.items()}
    check_parameters(known, values)
    cards = cards_of(gpus, values, known)
    if cards != known.get("GPUS", 1):
        values["GPUS"] = cards
    words = [f"HOME_DIR={platform().home}"]
    words += [f"{name}={_word(value)}" for name, value in values.items()]
    ids = [source["id"] for source in sources_of(bundle) if source.get("id")]
    return Order(
        title=bundle.name + ("-smoke" if values.get("SMOKE") else ""),
        bundle=bundle.digest,
        code=package(bundle),
        command=" ".join(["python", PROGRAM, *words]),
        environment=str(bundle.facts["spec"]["environment"]),
        gpus=cards,
        payment=payment,
        datasets=list(datasets) or list(dict.fromkeys(ids)),
    )


def cards_of(gpus: str | None, values: dict[str, Any], known: dict[str, Any]) -> int:
    """How many cards the job gets: what --gpus says, else its parameter GPUS. Raises SpecError
    where the two differ, or it is no number."""
    from jobgen.errors import SpecError

    asked = values.get("GPUS", int(gpus) if gpus else known.get("GPUS", 1))
    if not isinstance(asked, int) or isinstance(asked, bool) or (gpus and asked != int(gpus)):
        raise SpecError(f"GPUS is {asked!r}", "Give the number of cards by --gpus alone.")
    return asked


def _word(value: Any) -> str:
    """A value as a word of a shell, which main.py reads back."""
    from jobgen.literals import to_source

    # A name is taken for itself, as DEVICE=cpu.
    if isinstance(value, str) and re.fullmatch(r"[a-z][\w./-]*", value):
        return value
    return shlex.quote(ast.unparse(ast.parse(to_source(value), mode="eval")))


def need_data(bundle: Bundle, order: Order) -> None:
    """Raise SpecError where a job would begin without its data."""
    from jobgen.errors import SpecError
    from jobgen.run.workspace import sources_of

    if not order.datasets:
        names = ", ".join(s["archive"] or s["folder"] for s in sources_of(bundle))
        raise SpecError(
            f"no data set is named that holds {names}",
            "Its number is in the address of its page on AI Studio: --dataset ID, or `id:` under "
            "dataset.sources in job.yaml.",
        )


def tell(console: Console, target: Path, order: Order) -> None:
    """Say what the job will do and what it takes."""
    from jobgen.api import load_job, plan_job
    from jobgen.catalog import platform
    from jobgen.cli.hours import hours_line
    from jobgen.settings import load_settings

    facts = platform()
    rows = {
        "job": f"{order.title}, {len(order.code):,} bytes, {order.digest[:12]}",
        "data sets": ", ".join(map(str, order.datasets)),
        "machine": f"{order.gpus} x {facts.device.upper()}, {order.environment}",
        "command": order.command,
    }
    path = job_of(target)
    line = hours_line(plan_job(load_job(path))) if path.is_file() else ""
    if line:
        changed = order.command.count("=") > 1
        rows["time"] = f"{line}; this is job.yaml's, not the command's" if changed else line
    paid = {"coupon": "computing points (coupon)", "acoin": "A coins"}[order.payment]
    address = load_settings().aistudio or facts.address
    rows["paid with"] = f"{paid}, as long as it runs; what an hour of it costs is on {address}"
    for name, text in rows.items():
        console.row(name, text)


def rehearse(console: Console, target: Path, order: Order, again: bool) -> None:
    """Show every request of a submission, its secrets hidden, also of one that broke off; the code
    that sends them runs, on copies of the records, and nothing is sent or kept."""
    from jobgen.catalog import platform
    from jobgen.remote.jobs import Jobs
    from jobgen.remote.records import read_records, records_folder
    from jobgen.remote.rehearsal import Rehearsal
    from jobgen.remote.token import Token
    from jobgen.remote.wire import need_safe
    from jobgen.settings import load_settings

    requests: list[str] = []
    address = need_safe(load_settings().aistudio or platform().address)
    records = [r for r in read_records(records_folder(target)) if r.address == address]
    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        for record in records:
            (Path(spare) / record.path.name).write_bytes(record.path.read_bytes())
        transport = Rehearsal(requests.append, records)
        jobs = Jobs(address, Token("-" * 8, "none"), lambda _seconds: None, transport)
        submit_order(lambda _text: None, jobs, Path(spare), order, again=again, agrees=lambda: True)
        jobs.close()
    console.result(requests=requests)
    console.data("\n".join(requests))
    if any(record.open for record in records):
        console.say("A submission broke off: what AI Studio has of it is supposed here.")
    console.say("Nothing was sent.")


def submit_order(
    say: Callable[[str], None], jobs: Jobs, folder: Path, order: Order, *, again: bool,
    agrees: Callable[[], bool],
) -> Record:  # fmt: skip
    """Finish what broke off, or submit anew, by the records in a folder; one call at a time."""
    import filelock

    from jobgen.errors import RemoteError
    from jobgen.remote.records import SUBMITTED
    from jobgen.remote.submit import new_record, running, same_order, submit, unfinished

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            settled = unfinished(jobs, folder)
            started = [r for r in settled if r.state == SUBMITTED and same_order(r, order)]
            if started and not again:
                say("it was started before the last call broke off")
                return started[-1]
            broken = [record for record in settled if record.open]
            same = [record for record in broken if same_order(record, order)]
            there = None if again or same else running(jobs, folder, order)
            if there is not None:
                raise RemoteError(
                    f"just this was submitted before: {there.id}, {there.stage}",
                    f"Wait for it: jobgen wait {there.id}; to submit it once more: --again",
                )
            for record in broken:
                is_same = record in same[:1]
                end = "it is finished now" if is_same else "of other files or options: it is ended"
                say(f"{record.name} broke off after: {record.state}; {end}")
            if not agrees():
                raise RemoteError("nothing was submitted", "To agree without being asked: --yes")
            end_others(say, jobs, [record for record in broken if record not in same[:1]])
            record = same[0] if same else new_record(folder, order, jobs.wire.address)
            return submit(jobs, record, order.code, say)
    except filelock.Timeout:
        raise RemoteError(
            f"another call of jobgen submits the job of {folder}",
            "Wait for it; jobgen jobs shows what it did.",
        ) from None


def end_others(say: Callable[[str], None], jobs: Jobs, records: list[Record]) -> None:
    """End half-made submissions, so that none of them waits for its code."""
    from jobgen.remote.submit import drop

    for record in records:
        left, stage = drop(jobs, record)
        if left.open:
            say(
                f"{record.name} could not be ended: AI Studio leaves it {stage}. The next call "
                f"tries again; its page: {jobs.page(left.job)}"
            )
        else:
            say(f"{record.name} was ended: {left.job or 'never made'} {stage}")
