"""Where a study is kept: a SQLite file beside the sweep, or a PostgreSQL server.

A server that does not answer is waited for: what is trained meanwhile is worth more than a quick
end. Where a study was begun is kept in its folder, so that no later call begins another by mistake.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock

from jobgen.errors import RunError
from jobgen.files import shown, write_atomically
from jobgen.sweep.spec import Sweep

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

Found = TypeVar("Found")
FILE, ADDRESS = "study.db", "storage.txt"
VARIABLE = "JOBGEN_STORAGE"
# A worker says every so often that it lives, and is taken for dead after so long: seconds.
HEARTBEAT, GRACE = 10, 45
# A server that is started again, a network that comes back: seconds between two tries, the last of
# them repeated, and seconds until it is taken for gone.
PAUSES, PATIENCE = (0.5, 1.0, 2.0, 5.0, 10.0), 900.0
# Two workers may write at one moment: SQLite lets one of them wait, so many seconds.
LOCKED = 60


def need_optuna() -> Any:
    """Optuna. Raises RunError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise RunError(
            "a sweep needs Optuna, which is not installed",
            'Install it: pip install "optuna>=5,<6"',
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # The heartbeat is called experimental since 2021; its version is bounded in pyproject.toml.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", module="optuna")
    return optuna


def faults() -> tuple[type[Exception], ...]:
    """What a storage raises that can't be read or written."""
    from sqlalchemy.exc import SQLAlchemyError

    return (need_optuna().exceptions.StorageInternalError, SQLAlchemyError)


def said_of(error: BaseException) -> str | None:
    """What the storage said, of whatever Optuna made of it on the way; None where the storage is
    not what failed."""
    known, found = faults(), None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, known):
            found = link
        link = link.__cause__ or link.__context__
    return None if found is None else str(found).strip().split("\n")[0][:300]


class NotBegunError(RunError):
    """There is no study yet."""


def not_begun(sweep: Sweep) -> NotBegunError:
    return NotBegunError(
        f"no trial of {sweep.path} was begun",
        f"Begin: jobgen sweep run {shown(sweep.path)} --archive FILE",
    )


def address_of(sweep: Sweep, given: str | None) -> str | None:
    """The address that was given, else the one that the study was begun at; None for its file."""
    kept = sweep.folder / ADDRESS
    if given or not kept.is_file():
        return _absolute(given) if given else None
    return kept.read_text(encoding="utf-8").strip()


def _absolute(address: str) -> str:
    """An address that means the same in every folder."""
    kind, between, path = address.partition(":///")
    if not kind.startswith("sqlite") or not path or path == ":memory:":
        return address
    return f"{kind}{between}{Path(path).absolute()}"


def need_begun(sweep: Sweep, address: str | None) -> None:
    """Raise RunError where the file of a study is not there: asking it would make one."""
    path = sweep.folder / FILE if address is None else None
    if address is not None and address.startswith("sqlite"):
        path = Path(address.partition(":///")[2].partition("?")[0])
    if path is not None and not path.is_file():
        raise not_begun(sweep)


def keep_address(sweep: Sweep, address: str | None) -> None:
    """Have later calls find the study where it is. A password is not kept."""
    if not address:
        return
    from sqlalchemy import URL, make_url

    text = _absolute(address)
    if not text.startswith("sqlite"):  # which has no password, and decodes no %20
        parts = make_url(text)
        text = URL.create(
            *(parts.drivername, parts.username, None, parts.host, parts.port, parts.database),
            parts.query,
        ).render_as_string()
    write_atomically(sweep.folder / ADDRESS, f"{text}\n".encode())


@contextlib.contextmanager
def opening(sweep: Sweep) -> Iterator[None]:
    """One process at a time makes the tables and the trials of a study. On several machines the
    first one has to have begun before the others."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(sweep.folder / ".lock"):
        yield


def _patient_storage(lives: Callable[[FrozenTrial], bool]) -> Any:
    """Optuna's storage class, for `storage_of`."""

    class Storage(need_optuna().storages.RDBStorage):  # type: ignore[misc, name-defined, unused-ignore]
        """One that is patient: with a server that is started again, with a computer that slept."""

        deaf_until = 0.0

        def record_heartbeat(self, trial_id: int) -> None:
            with contextlib.suppress(*faults()):
                super().record_heartbeat(trial_id)

        def _get_stale_trial_ids(self, study_id: int) -> list[int]:
            # While the server was away nobody could give a sign of life.
            if time.monotonic() < self.deaf_until:
                return []
            found = super()._get_stale_trial_ids(study_id)
            return [number for number in found if not lives(self.get_trial(number))]

    return Storage


def storage_of(
    sweep: Sweep,
    given: str | None,
    lost: Callable[[Study, FrozenTrial], None],
    lives: Callable[[FrozenTrial], bool],
) -> Any:
    """Optuna's storage of a study. `lost` is called for a trial whose worker gives no sign of life
    any longer; `lives` tells whether it is at work on this machine all the same. Raises RunError
    where the storage can't be opened."""
    need_optuna()
    address = address_of(sweep, given)
    if address is None:
        sweep.folder.mkdir(parents=True, exist_ok=True)
        is_begun(sweep.folder / FILE)
        return _opened(
            sweep, "sqlite://", {"creator": _connector(sweep.folder / FILE)}, lost, lives
        )
    waits = {"connect_args": {"timeout": LOCKED}} if address.startswith("sqlite") else {}
    storage = _opened(sweep, address, waits, lost, lives)
    # Nothing that is wrong from the beginning is waited for.
    if not address.startswith("sqlite"):
        _wait_for(storage)
    return storage


def _connector(path: Path) -> Callable[[], sqlite3.Connection]:
    """What opens a file whatever its name: in an address a `?` or a brace would be more than
    that."""
    return lambda: sqlite3.connect(path.absolute(), timeout=LOCKED, check_same_thread=False)


def _opened(
    sweep: Sweep,
    address: str,
    engine: dict[str, Any],
    lost: Callable[[Study, FrozenTrial], None],
    lives: Callable[[FrozenTrial], bool],
) -> Any:
    from sqlalchemy.pool import NullPool

    try:
        with opening(sweep):
            storage = _patient_storage(lives)(
                address,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=lost,
                engine_kwargs={**engine, "poolclass": NullPool},
            )
    except ImportError as error:
        raise _no_driver(address, error) from error
    except Exception as error:  # whatever a database's driver says
        raise cant_open(error) from error
    return storage


def _wait_for(storage: Any) -> None:
    """Have every later connection try again while the server does not answer."""
    from sqlalchemy import event

    @event.listens_for(storage.engine, "do_connect")
    def _connect(dialect: Any, _record: Any, words: Any, options: Any) -> Any:
        ends = time.monotonic() + PATIENCE
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                return dialect.connect(*words, **options)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
            storage.deaf_until = time.monotonic() + GRACE
        raise AssertionError  # repeat has no end


def patiently(call: Callable[[], Found]) -> Found:
    """What a call of the storage gives, tried again where it breaks off in the middle."""
    for pause in PAUSES:
        with contextlib.suppress(*faults()):
            return call()
        time.sleep(pause)
    return call()


def read_tables(sweep: Sweep, given: str | None, queries: Sequence[str]) -> list[list[Any]]:
    """The rows of each query about the study, whose name is `:name` in it, all of one moment; no
    Optuna is loaded for it, and of a file no SQLAlchemy. Raises RunError where nothing was
    begun."""
    address = address_of(sweep, given)
    need_begun(sweep, address)
    if address is None:
        return _file_tables(sweep, sweep.folder / FILE, queries)
    try:
        from sqlalchemy import create_engine, inspect, text
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool
    except ImportError:  # it comes with Optuna
        need_optuna()
        raise
    try:
        level = "REPEATABLE READ" if address.startswith("postgresql") else None
        engine = create_engine(address, poolclass=NullPool, isolation_level=level)
        if not inspect(engine).has_table("trial_user_attributes"):
            raise not_begun(sweep)
        with engine.connect() as connection:
            return [list(connection.execute(text(query), {"name": sweep.name}).all())
                    for query in queries]  # fmt: skip
    except ImportError as error:
        raise _no_driver(address, error) from error
    except SQLAlchemyError as error:
        raise cant_open(error) from error


def is_begun(path: Path) -> bool:
    """Whether there is a study in a file. Raises RunError where it is another program's."""
    if not path.is_file():
        return False
    names = {name for (name,) in _asked(path, ["SELECT name FROM sqlite_master"], "")[0]}
    # Optuna's, of which the first are there a moment before the others.
    if names and not names & {"studies", "version_info", "alembic_version"}:
        raise RunError(f"{path} is not a study of jobgen's", "Move it away.")
    return "studies" in names


def _file_tables(sweep: Sweep, path: Path, queries: Sequence[str]) -> list[list[Any]]:
    if not is_begun(path):
        raise not_begun(sweep)
    return _asked(path, queries, sweep.name)


def _asked(path: Path, queries: Sequence[str], name: str) -> list[list[Any]]:
    try:
        # Not read-only: what a killed writer left half-done is undone by whoever opens it next.
        address = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(
            sqlite3.connect(address, uri=True, timeout=LOCKED, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            return [connection.execute(query, {"name": name}).fetchall() for query in queries]
    except sqlite3.Error as error:
        raise cant_open(error) from error


def _no_driver(address: str, error: ImportError) -> RunError:
    kind = address.split(":")[0]
    if not kind.startswith("postgresql"):
        return RunError(
            f"{kind} is no storage that jobgen knows", "postgresql+psycopg://user@host/name"
        )
    return RunError(
        f"{kind} needs a driver: {error}",
        'Install it: pip install "psycopg[binary]", and write postgresql+psycopg://...',
    )


def cant_open(error: Exception) -> RunError:
    """What a database says, without its own hints and addresses with passwords."""
    said = str(error).strip().split("\n")[0][:300]
    hint = ""
    if "password" in said:
        hint = "A password is not kept: set PGPASSWORD, or write it into ~/.pgpass."
    return RunError(f"the storage can't be opened: {said}", hint)
