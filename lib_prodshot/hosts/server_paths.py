"""Folders of the server that a request may name: only beneath those its owner allowed with `--prodshot-allow-dir`;
and those that the user in front of the WebUI's page may name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.storage.urls import is_url

FLAG = "prodshot_allow_dir"

OpenPath = Callable[[str, object], Path]
"""Gives the file or folder that a field names. Raises `RequestError` where the caller may not have it."""

_LOCAL = ("127.0.0.1", "localhost", "::1")


def allowed_folders() -> tuple[Path, ...]:
    """The owner's folders, links resolved; those that do not exist are passed by."""
    given = host().flag(FLAG) or ()
    folders = [given] if isinstance(given, (str, Path)) else given
    found = (Path(folder).expanduser() for folder in folders)
    return tuple(folder.resolve() for folder in found if folder.is_dir())


def check_folder(field: str, text: object) -> Path:
    """The folder a request names, with every link resolved, so that none leads out of the allowed ones.

    It need not exist yet. Raises `RequestError`, which says the same of a folder that is not allowed and of one that
    is not there: what lies outside is nobody's business.
    """
    _refuse_url(field, text)
    allowed = allowed_folders()
    if not allowed:
        message = "this server opens no folders to requests; its owner can with --prodshot-allow-dir"
        raise RequestError([FieldProblem(field, message)])
    refused = RequestError([FieldProblem(field, "this is not a folder that the server's owner has allowed")])
    if not isinstance(text, str) or not text or "\0" in text:
        raise refused
    try:
        path = Path(text)
        resolved = path.resolve() if path.is_absolute() else (allowed[0] / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise refused from error
    if not any(resolved == folder or folder in resolved.parents for folder in allowed):
        raise refused
    return resolved


def open_for_page(field: str, text: object) -> Path:
    """The folder that the page's user names: any of this machine, as in the WebUI's own folder fields; a relative one
    stands in the WebUI's data folder. It need not exist yet.

    Where the WebUI hides such fields (`--hide-ui-dir-config`), or others can reach it over a network, only what
    `check_folder` allows. Raises `RequestError`.
    """
    if not page_is_trusted():
        return check_folder(field, text)
    _refuse_url(field, text)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise RequestError([FieldProblem(field, "this is not a folder", "a folder of this machine")])
    try:
        return (host().data_path() / Path(text.strip()).expanduser()).resolve()
    except (OSError, RuntimeError) as error:
        raise RequestError([FieldProblem(field, "this is not a folder", "a folder of this machine")]) from error


def _refuse_url(field: str, text: object) -> None:
    """Raise `RequestError` for a URL: a server has credentials for stores that are not its callers'."""
    if isinstance(text, str) and is_url(text.strip()):
        message = "object storage is not opened for requests; use prodshot batch"
        raise RequestError([FieldProblem(field, message, "a folder of this machine")])


def page_is_trusted() -> bool:
    """Whether whoever sees the page may do what this machine's own user may."""
    return not (_is_open_to_others() or host().flag("hide_ui_dir_config", False))


def _is_open_to_others() -> bool:
    name = host().flag("server_name")
    return any(host().flag(flag) for flag in ("listen", "share", "ngrok")) or bool(name and name not in _LOCAL)
