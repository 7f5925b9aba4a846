"""Downloads that can be trusted: https only, resumed where they broke off, checked by hash before they are read."""

import contextlib
import hashlib
import http.client
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from eval.files.archive import extract

BLOCK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte, for the headers as a whole, and for how long less than SLOWEST is borne
SLOWEST = 1024  # bytes a second
LONGEST = 12 * 3600.0  # seconds of one call
LARGEST = 640 << 20  # bytes where nobody says how long the file is; VGG16's weights, the largest, have 528 MiB
ATTEMPTS = 5
PAUSE = 0.5  # seconds, doubled from attempt to attempt


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, request: urllib.request.Request, response: Any, code: int, message: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        _require_https(url)
        return super().redirect_request(request, response, code, message, headers, url)


def _require_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise ValueError(f"{url} is refused: downloads go over https only")


class _Connection(http.client.HTTPSConnection):
    """Ends where the headers have not come after TIMEOUT: the socket's own time-out starts anew with every byte."""

    def getresponse(self) -> http.client.HTTPResponse:
        late = threading.Event()

        def cut(stream: socket.socket = self.sock) -> None:
            late.set()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(stream, socket.SHUT_RDWR)

        timer = threading.Timer(TIMEOUT, cut)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()
            if late.is_set():  # the connection that was cut looks like headers that end, or like an error
                raise TimeoutError(f"no whole answer after {TIMEOUT:g} s")


class _Handler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext):
        super().__init__(context=context)
        self.context = context

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request, context=self.context)


def open_url(url: str, start: int = 0, context: ssl.SSLContext | None = None) -> http.client.HTTPResponse:
    """The response to a GET from byte `start` on; the certificate is verified, redirects stay on https."""
    _require_https(url)
    headers = {"User-Agent": "gpnncam", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    handlers = (_SecureRedirects(), _Handler(context=context or ssl.create_default_context()))
    return urllib.request.build_opener(*handlers).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(url: str, target: Path, sha256_prefix: str, size: int | None = None) -> Path:
    """Fetches `url` into the file `target`, which exists afterwards only with the right hash.

    sha256_prefix: at least 8 hex digits. size: length in bytes where it is known.
    A transfer that breaks, stalls or trickles is resumed by a Range request from the bytes in TARGET.part, up to five
    times per call and again by the next call. RuntimeError: the transfer failed or took twelve hours, or what came is
    not that file (its bytes are removed).
    """
    _require_https(url)
    if len(sha256_prefix) < 8 or set(sha256_prefix) - set("0123456789abcdef"):
        raise ValueError(f"{url}: a download needs a hash of at least 8 hex digits, not {sha256_prefix!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    # Several processes of a sweep start at once: one downloads, the others find the file.
    with FileLock(str(part) + ".lock"):
        if target.is_file():
            return target
        _transfer(url, part, size)
        digest = sha256(part)
        if not digest.startswith(sha256_prefix):
            head = part.read_bytes()[:64].lstrip().lower()
            part.unlink()
            page = "; it is an HTML page" if head.startswith((b"<!doctype", b"<html")) else ""
            raise RuntimeError(f"what {url} sent has SHA-256 {digest[:16]}..., not {sha256_prefix[:16]}...{page}")
        os.replace(part, target)
    return target


def _transfer(url: str, part: Path, size: int | None) -> None:
    errors: list[Exception] = []
    ends = time.monotonic() + LONGEST
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2**attempt)
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have == size:
            return
        if size is not None and have > size:
            part.unlink()
            have = 0
        try:
            with open_url(url, have) as response:
                if response.status == 206 and not _continues(response, have):
                    part.unlink(missing_ok=True)
                    span = response.headers.get("Content-Range")
                    raise OSError(f"bytes from {have:,} on were requested, the server sends {span!r}")
                _receive(response, part, have if response.status == 206 else 0, size, ends)
            return
        except urllib.error.HTTPError as problem:
            if problem.code == 416 and have:
                # The part is as long as the file or longer: its hash decides, or the next attempt starts anew.
                if size is None:
                    return
                part.unlink()
            elif problem.code < 500:
                raise RuntimeError(f"{url}: {problem}") from problem
            errors.append(problem)
        except (OSError, EOFError, http.client.HTTPException) as problem:
            errors.append(problem)
        if time.monotonic() > ends:
            break
    reasons = "; ".join(dict.fromkeys(map(str, errors)))
    raise RuntimeError(
        f"{url} could not be downloaded ({reasons}); what came is in {part}; run the command again to resume or put "
        f"the file there by hand as {part.with_suffix('')}"
    ) from errors[-1]


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether a partial answer begins where ours ends, before the end of the file."""
    span = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
    return span is not None and int(span[1]) == have > 0 and (span[2] == "*" or int(span[2]) > have)


def _receive(response: http.client.HTTPResponse, part: Path, have: int, size: int | None, ends: float) -> None:
    """Writes the answer to `part` from byte `have` on. RuntimeError: it is too long for the file; OSError, EOFError or
    HTTPException: it broke off, or came too slowly."""
    length = response.headers.get("Content-Length", "")
    total = size if size is not None else have + int(length) if re.fullmatch("[0-9]{1,18}", length) else None
    limit = size if size is not None else min(total or LARGEST, LARGEST)
    if (total or 0) > limit:
        raise RuntimeError(f"{response.url} sends {total:,} bytes, more than the {limit:,} that are taken")
    with open(part, "ab") as stream:
        stream.truncate(have)
        mark, since = have, time.monotonic()
        while block := response.read1(BLOCK):
            have, now = have + len(block), time.monotonic()
            if have > limit:
                stream.truncate(0)
                raise RuntimeError(f"{response.url} sends more than the {limit:,} bytes of the file")
            stream.write(block)
            if now > ends:
                raise TimeoutError(f"{have:,} bytes after {LONGEST / 3600:g} hours")
            if now - since > TIMEOUT:
                if have - mark < SLOWEST * (now - since):
                    raise TimeoutError(f"only {have - mark:,} bytes in {now - since:.0f} s")
                mark, since = have, now
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and have != total:
        raise EOFError(f"the connection ended after {have:,} of {total:,} bytes")


@dataclass(frozen=True)
class Archive:
    """A tar archive on the web.

    sha256: 64 hex digits. size: bytes.
    """

    url: str
    sha256: str
    size: int

    def fetch(self, root: Path, complete: Callable[[], bool]) -> None:
        """Downloads the archive to `root` and puts its files there, unless `complete()` says that they are there.

        The archive is kept: a file of its name that a user put there is taken after the same check of its hash.
        """
        archive = root / self.url.rpartition("/")[2]
        root.mkdir(parents=True, exist_ok=True)
        # Several processes of a sweep start at once: one extracts, the others find the files.
        with FileLock(str(root / f".{archive.name}.lock")):
            if complete():
                return
            if archive.is_file() and sha256(archive) != self.sha256:
                raise RuntimeError(
                    f"{archive} is not the official archive (its SHA-256 differs); move it away, try again"
                )
            download(self.url, archive, self.sha256, self.size)
            extract(archive, root)
