"""Remote storage fails now and then: try again for a while, then say what failed, where and why."""

from __future__ import annotations

import errno
import itertools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE_SECONDS = 40.0  # with the last attempt's own time-outs, a lasting fault ends within a minute
SILENCE_SECONDS = 15.0  # after which a connection on which nothing arrives counts as lost

_LASTING = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError,
    ValueError, TypeError, LookupError, ImportError, NotImplementedError, MemoryError,
)  # fmt: skip
_LASTING_ERRNOS = {
    errno.EINVAL, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSYS,
    errno.ENOTEMPTY, errno.EMSGSIZE, errno.EREMCHG,
}  # fmt: skip
_PASSING_STATUS = {408, 425, 429}  # and all from 500
_USER_INFO = re.compile(r"(\w[\w+.-]*://)[^/\s'\"]*@")
# Without the punctuation that may follow a URL in a sentence.
_QUERY = re.compile(r"(\w[\w+.-]*://[^\s?'\"]*)\?([^\s'\"]*[^\s'\":;,.)])?")
_PARAMETER = re.compile(r"(?:^|[?&])[\w.~%-]+=")
_SIZE = re.compile("size=[0-9]+")  # of a model's images, which its source may end with

#: Of transfers that were cut short. They speak of one file; the server answers.
_CUT_SHORT = {"ClientPayloadError", "IncompleteReadError", "ResponseStreamingError"}  # aiohttp's and botocore's

_retries = itertools.count(1)
_failing_since: dict[str, float] = {}  # by endpoint, since its last success; shared by all threads


class StorageGoneError(OSError):
    """Storage has not answered as it should for :data:`PATIENCE_SECONDS`; there is no use in asking for other files."""


class IncompleteError(ConnectionError):
    """Less of a file has arrived than there is."""


def open_filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """Return a URL's file system and path.

    The file system's own retries are switched off where we know how: those of :func:`persist` are counted, logged
    and bounded in time.

    Raises:
        ValueError: If there is no such kind of storage, or the package for it is missing.
    """
    try:
        filesystem, path = url_to_fs(url, **_options(get_protocol(url)))
    except (ImportError, ValueError) as error:
        raise ValueError(f"cannot use {redact(url)}: {error}") from None
    if hasattr(filesystem, "retries"):
        filesystem.retries = 1
    return filesystem, path


def persist(action: str, url: str, operation: Callable[[], Result]) -> Result:
    """Carry out an operation on storage; if it is remote, repeat it until a passing fault has passed.

    Args:
        action: What the operation does with the URL, for messages: "cannot ``action`` ``url``".
        url: The place.
        operation: Must be harmless to repeat, even if it succeeded without our learning of it.

    Raises:
        FileNotFoundError: If there is no such file.
        FileExistsError: If the operation creates a file that is there.
        StorageGoneError: If the endpoint has failed for :data:`PATIENCE_SECONDS`, in whatever operations; a further one
            is tried only once.
        OSError: If another fault lasts. All messages name the endpoint and hold no credentials.
    """
    filesystem, _ = open_filesystem(url)
    if isinstance(filesystem, LocalFileSystem):
        return operation()
    endpoint = _endpoint(filesystem, url)

    def log(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning("retry %d of this process: cannot %s %s: %s", next(_retries), action, redact(url), _say(error))

    def has_lasted(state: RetryCallState) -> bool:
        since = min(_failing_since.setdefault(endpoint, state.start_time), state.start_time)
        return time.monotonic() - since >= PATIENCE_SECONDS

    attempts = Retrying(
        retry=retry_if_exception(is_passing),
        stop=has_lasted,
        wait=wait_random_exponential(multiplier=0.25, max=8),
        before_sleep=log,
        reraise=True,
    )
    answered = True
    try:
        return attempts(operation)
    except FileExistsError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {redact(url)}") from None
    except Exception as error:  # every remote file system has its own family of errors
        lasted = f" for {PATIENCE_SECONDS:.0f} s" if is_passing(error) else ""
        gone = is_passing(error) and not isinstance(error, IncompleteError) and type(error).__name__ not in _CUT_SHORT
        answered = not gone  # a file that does not arrive whole says nothing against the endpoint
        # The cause is left out: its message may hold a signed URL.
        raise (StorageGoneError if gone else OSError)(
            f"cannot {action} {redact(url)} ({endpoint}){lasted}: {_say(error)}"
        ) from None
    finally:
        if answered:
            _failing_since.pop(endpoint, None)


def is_passing(error: BaseException) -> bool:
    """Tell whether an error of a remote file system may be gone at the next attempt."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if not isinstance(error, Exception) or isinstance(error, _LASTING):
        return False
    if isinstance(status := getattr(error, "status", None), int):
        return status >= 500 or status in _PASSING_STATUS
    if isinstance(error, OSError) and error.errno in _LASTING_ERRNOS:
        return False
    return not type(error).__name__.endswith("CredentialsError")


def redact(text: str) -> str:
    """Take credentials out of the URLs in a text: user names and passwords, and query strings with signatures.

    A question mark may also be that of a glob for shards, except on web servers, which list nothing.

    Example:
        >>> redact("https://me:secret@host/a.tar?X-Amz-Signature=0a1b")
        'https://***@host/a.tar?***'
    """
    return _QUERY.sub(_cut_query, _USER_INFO.sub(r"\1***@", text))


def _cut_query(match: re.Match[str]) -> str:
    place, query = match[1], match[2] or ""
    on_web_server = place.rpartition("::")[2].lower().startswith(("http://", "https://"))
    is_glob = not on_web_server and query.endswith(".tar") and not _PARAMETER.search(query)
    return match[0] if is_glob or _SIZE.fullmatch(query) else f"{place}?***"


def _options(protocol: str) -> dict[str, Any]:
    """Return a protocol's settings for one attempt without retries, unless the user configured fsspec otherwise."""
    configured = conf.get(protocol, {})
    if protocol in ("s3", "s3a") and "config_kwargs" not in configured:
        return {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    if protocol in ("http", "https") and "client_kwargs" not in configured:
        from aiohttp import ClientTimeout  # needed by fsspec for this protocol alone

        # By default a download may take no longer than five minutes, however fast it comes.
        return {"client_kwargs": {"timeout": ClientTimeout(None, sock_connect=5, sock_read=SILENCE_SECONDS)}}
    return {}


def _endpoint(filesystem: AbstractFileSystem, url: str) -> str:
    if get_protocol(url) in ("http", "https"):
        parts = urlsplit(url)
        return redact(f"{parts.scheme}://{parts.netloc}")
    options = getattr(filesystem, "client_kwargs", None) or {}
    endpoint = getattr(filesystem, "endpoint_url", None) or options.get("endpoint_url")
    return redact(str(endpoint)) if endpoint else f"the default endpoint of {type(filesystem).__name__}"


def _say(error: BaseException | None) -> str:
    return redact(f"{type(error).__name__}: {error}".removesuffix(": "))
