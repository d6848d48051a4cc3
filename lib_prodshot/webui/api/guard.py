"""Who may call our routes: the WebUI's own rule (`--api-auth`), which it applies to its own routes only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from secrets import compare_digest

from starlette.requests import Request as HttpRequest

from lib_prodshot.hosts.active import host
from lib_prodshot.webui.answers import Refusal


def check_caller(request: HttpRequest) -> None:
    """Raises `Refusal`: 401 without the right user and password, 403 for a foreign web page."""
    credentials = host().api_credentials()
    if credentials and not _is_known(request.headers.get("authorization", ""), credentials):
        message = "user and password of this server's API are needed (HTTP Basic, as for /sdapi)"
        raise Refusal(401, message, headers={"WWW-Authenticate": 'Basic realm="WebUI API"'})
    if request.method not in ("GET", "HEAD"):
        _refuse_foreign_page(request)


def _is_known(header: str, credentials: Mapping[str, str]) -> bool:
    scheme, _, code = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, colon, password = base64.b64decode(code.strip(), validate=True).partition(b":")
    except ValueError:
        return False
    # every pair is compared to the end, whatever matches: the time taken tells nothing
    known = False
    for name, secret in credentials.items():
        known |= compare_digest(user, name.encode()) & compare_digest(password, secret.encode())
    return known and bool(colon)


def _refuse_foreign_page(request: HttpRequest) -> None:
    """A form on any web page may post multipart to this server; browsers say so, and only allowed origins may."""
    if request.headers.get("sec-fetch-site") != "cross-site":
        return
    allowed = str(host().flag("cors_allow_origins", "") or "").split(",")
    if request.headers.get("origin", "") in allowed or host().flag("cors_allow_origins_regex"):
        return
    raise Refusal(403, "requests from other web pages are refused; see the WebUI's --cors-allow-origins")
