"""What to do about each kind of error of MLflow, its database, its server and its files."""

import errno
import io
import os
import re
import shlex
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import shorten
from urllib.parse import urlsplit

import requests
import sqlalchemy.exc
from alembic.util import CommandError
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

from image_workflow.backends.mlflow.database import CHANGE_URI, wrong_schema
from image_workflow.backends.sqlite_registry import database_path
from image_workflow.errors import UserError

LENGTH = 300  # characters of a message of MLflow or of a server
#: What the libraries of a store raise. The exceptions of requests are OSErrors.
STORE_ERRORS = (
    *(MlflowException, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error),
    *(CommandError, ModuleNotFoundError, OSError),
)
#: The packages to install for the modules that SQLAlchemy imports.
DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "pymysql": "PyMySQL"}


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise a UserError with advice for each error of a library in the block.

    What MLflow prints, past its loggers, does not reach the terminal.
    """
    try:
        urlsplit(uri).port  # noqa: B018
    except ValueError as error:
        # The error may show a part of a password.
        text = f"{uri} is no address: its host or port is wrong. Correct registry_uri."
        raise UserError(without_password(text)) from error
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except STORE_ERRORS as error:
        raise UserError(advice(error, uri)) from error


def advice(error: BaseException, uri: str) -> str:
    """Return in one or two sentences what is wrong with a store, and what to do.

    Parameters
    ----------
    error : BaseException
        MLflow's exception. Those that it was raised from, or during, tell the cause.
    uri : str
        The store. The text has no password, neither of the URI nor of the libraries' messages.
    """
    causes = list(all_causes(error))
    told = (
        function(cause, uri)
        for kind, function in KINDS.items()
        for cause in causes
        if isinstance(cause, kind)
    )
    text = next(filter(None, told), None)
    if not text and isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror or message(error)}."
    return without_password(text or f"the registry {uri} refused: {message(error)}.")


def deleted_experiment(experiment: Experiment, uri: str) -> UserError:
    """Return the error for an experiment that somebody deleted."""
    restore = f"{shlex.quote(sys.executable)} -m mlflow experiments restore"
    return UserError(
        f"the experiment {experiment.name} was deleted in {without_password(uri)}. Set another "
        "experiment_name in config/config.yaml, or restore it: MLFLOW_TRACKING_URI="
        f"{shlex.quote(without_password(uri))} {restore} --experiment-id {experiment.experiment_id}"
    )


def all_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, and all that it was raised from, wraps, or was raised during."""
    found, waiting = [], [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or any(cause is known for known in found):
            continue
        found.append(cause)
        yield cause
        wrapped = getattr(cause, "orig", None), getattr(cause, "reason", None)
        waiting += [*wrapped, *cause.args, cause.__cause__ or cause.__context__]


def message(error: BaseException) -> str:
    """Return the text of an exception in one line without a full stop or hints for programmers."""
    text = str(getattr(error, "orig", None) or getattr(error, "message", None) or error)
    text = re.sub(
        r"\(raised as a result of .*?\)\s|\[SQL: .*|\(Background on .*", "", text, flags=re.S
    )
    text = re.sub(r"^[A-Z_]+: ", "", text)  # the code, of which a server's message has two
    return shorten(text, LENGTH, placeholder=" [...]").rstrip(".") or type(error).__name__


def without_password(text: str) -> str:
    """Remove user names and passwords from all URIs in a text."""
    text = re.sub(r"(\w://)[^\s'\"]*@", r"\1", text)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret|sig)=[^&\s'\"]+", r"\1=***", text)


# ---- Files -----------------------------------------------------------------------------


def sqlite_advice(error: sqlite3.Error, uri: str) -> str | None:
    """Return advice for an error of SQLite, by its code."""
    database = database_path(uri)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the others are details
    if not database:
        return None
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return not_writable(database) or f"{database}: {error}. {CHANGE_URI}."
    return {
        sqlite3.SQLITE_BUSY: (
            f"another program wrote into {database} for too long ({error}). Run again, and the "
            "registration is continued."
        ),
        sqlite3.SQLITE_FULL: no_space(database),
        sqlite3.SQLITE_CORRUPT: (
            f"{database} is damaged ({error}). Restore it from a backup, or move it away: the next "
            "run starts a new registry."
        ),
        sqlite3.SQLITE_NOTADB: f"{database} is not an SQLite database. {CHANGE_URI}.",
        sqlite3.SQLITE_IOERR: (
            f"the disk of {database} failed ({error}, {error.sqlite_errorname}). See that it has "
            "space and works, or move the registry to a local disk; then run again."
        ),
    }.get(code)


def file_advice(error: OSError, uri: str) -> str | None:
    """Return advice for an error of the operating system, by its number."""
    database = database_path(uri)
    path = Path(error.filename) if isinstance(error.filename, str) else database
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and path:
        return not_writable(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return no_space(path or uri)
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and path and database:
        return f"{path} cannot be a folder, because a file is in its place. {CHANGE_URI}."
    return None


def not_writable(path: Path) -> str | None:
    """Return who has to allow what, if this user may not write into the file or its folder."""
    existing = next(place for place in path.absolute().parents if os.path.exists(place))
    for place in (path, existing):
        if os.path.exists(place) and not os.access(place, os.W_OK):
            if os.statvfs(place).f_flag & os.ST_RDONLY:
                return f"{place} is on a file system that is read-only. {CHANGE_URI}."
            try:
                owner = place.owner()
            except KeyError:
                owner = f"user {place.stat().st_uid}"
            return (
                f"you may not write into {place}, which belongs to {owner}. Its owner can allow it "
                f"to the group: chmod g+w {shlex.quote(str(place))}"
            )
    return None


def no_space(place: Path | str) -> str:
    """Return advice for a disk or a quota that is full."""
    return f"there is no space left for {place}. Free some, and run again: nothing is half-written."


# ---- Servers ---------------------------------------------------------------------------


def server_advice(error: requests.RequestException, uri: str) -> str:
    """Return advice for a request that got no answer, or one that says no."""
    if error.response is not None:
        return status_advice(error.response.status_code, uri, error.response.text)
    reason = list(all_causes(error))[-1]
    names = [type(cause) for cause in all_causes(error)]
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            f"the proxy on the way to {uri} fails ({reason}). Correct HTTPS_PROXY or HTTP_PROXY, "
            "or name the server in NO_PROXY."
        )
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE" in str(error):
            return (
                f"the certificate of {uri} cannot be verified ({reason}). If the server is your "
                "organisation's, set REQUESTS_CA_BUNDLE to the file with its certificates."
            )
        return (
            f"{uri} gave no TLS answer ({reason}). If it has none, write http:// in registry_uri."
        )
    if isinstance(error, requests.exceptions.RetryError):
        found = re.search(r"too many (\d{3})", str(error))
        return status_advice(int(found[1]) if found else 500, uri)
    if isinstance(error, ValueError):  # InvalidURL, MissingSchema and others
        return f"{uri} is not an address of a server ({reason}). Correct registry_uri."
    if socket.gaierror in names:
        return (
            f"the host of {uri} is unknown. Look for a slip in registry_uri, and see whether "
            "the network or the VPN is up."
        )
    if ConnectionRefusedError in names:
        return f"nothing listens at {uri}. Start the MLflow server, or correct registry_uri."
    return (
        f"{uri} did not answer ({message(reason)}). See whether the server and the network "
        "work, and run again."
    )


def status_advice(status: int, uri: str, body: str = "") -> str:
    """Return advice for the HTTP status of an answer."""
    plain = body.strip() and "<" not in body
    said = f"{status}: {shorten(body, LENGTH)}" if plain else f"HTTP {status}"
    if status == 401:
        return (
            f"{uri} does not know you ({said}). Set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if status == 403:
        return f"{uri} does not allow it ({said}). Ask its administrator for the permission."
    if status == 407:
        return f"the proxy on the way to {uri} wants a password. Put it into HTTPS_PROXY."
    if status == 413:
        return f"a file is too large for {uri} ({said}). Its administrator can raise the limit."
    if status == 429 or status >= 500:
        return f"{uri} is in trouble itself ({said}). Run again later, or see the server's log."
    return (
        f"{uri} is not an MLflow server ({said}). Set registry_uri to the address at which a "
        "browser shows MLflow."
    )


# ---- MLflow ----------------------------------------------------------------------------

STATUS = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
}


def mlflow_advice(error: MlflowException, uri: str) -> str | None:
    """Return advice for an error of MLflow, by its code."""
    text = str(error.message)
    _, _, body = text.partition("Response body: ")
    if found := re.search(r"failed with error code (\d{3}) ", text):
        return status_advice(int(found[1]), uri, body.strip("'"))
    if "not in a valid JSON format" in text:
        return status_advice(200, uri, body.strip("'"))
    if found := re.search(r"database schema \(found version (\w+)", text):
        return wrong_schema(found[1], uri)
    if isinstance(error, UnsupportedModelRegistryStoreURIException):
        return f"MLflow knows no store such as {uri}. {CHANGE_URI}."
    if uri.startswith("file:"):
        return f"MLflow keeps no registry in a folder such as {uri} any more. {CHANGE_URI}."
    if "must be in the 'active' state" in text:
        return f"somebody deleted what is registered: {message(error)}. Run again."
    if error.error_code in STATUS:
        return status_advice(STATUS[error.error_code], uri, message(error))
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return (
            f"{message(error)}. Somebody deleted it in {uri} meanwhile. Run again to make it anew."
        )
    if error.error_code == "RESOURCE_ALREADY_EXISTS":
        return f"{message(error)}. Another program made it in {uri} meanwhile. Run again."
    if found := re.search(r"(?i)invalid (model|experiment) name", text):
        return f"{message(error)}. Change {found[1]}_name in config/config.yaml."
    return None


# ---- Other databases -------------------------------------------------------------------


def database_advice(error: sqlalchemy.exc.SQLAlchemyError, uri: str) -> str | None:
    """Return advice for an error of SQLAlchemy, or of another database than SQLite."""
    if isinstance(error, (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError)):
        return f"{uri} is no address of a database: {message(error)}. Correct registry_uri."
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return (
            f"the database {uri} does not work: {message(error)}. See whether it runs, and whether "
            "you may use it."
        )
    return None


def driver_advice(error: ModuleNotFoundError, uri: str) -> str:
    """Return how to install the driver of a database."""
    package = DRIVERS.get(error.name, error.name)
    return (
        f"{uri} needs the Python package {package}. Install it: "
        f"{shlex.quote(sys.executable)} -m pip install {package}"
    )


def schema_advice(error: CommandError, uri: str) -> str | None:
    """Return advice for a database that Alembic, which changes schemas, does not know."""
    found = re.search(r"Can't locate revision identified by '(\w+)'", str(error))
    return wrong_schema(found[1], uri) if found else None


#: The most telling kinds come first. The exceptions of requests are OSErrors.
KINDS: dict[type[BaseException], Callable[..., str | None]] = {
    sqlite3.Error: sqlite_advice,
    requests.RequestException: server_advice,
    OSError: file_advice,
    sqlalchemy.exc.SQLAlchemyError: database_advice,
    ModuleNotFoundError: driver_advice,
    CommandError: schema_advice,
    MlflowException: mlflow_advice,
}
