"""Downloads that can be trusted: https only, resumed where they broke off, checked by hash before they are read."""

import hashlib
import http.client
import os
import shutil
import ssl
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

BLOCK = 1 << 20
TIMEOUT = 60.0
ATTEMPTS = 5
PAUSE = 0.5  # seconds, doubled from attempt to attempt


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, response, code, message, headers, url):
        _require_https(url)
        return super().redirect_request(request, response, code, message, headers, url)


def _require_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise ValueError(f"{url} is refused: downloads go over https only")


def open_url(url: str, start: int = 0, context: ssl.SSLContext | None = None) -> http.client.HTTPResponse:
    """The response to a GET from byte `start` on; the certificate is verified, redirects stay on https."""
    _require_https(url)
    headers = {"User-Agent": "gpnncam", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    handlers = (_SecureRedirects(), urllib.request.HTTPSHandler(context=context or ssl.create_default_context()))
    return urllib.request.build_opener(*handlers).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(url: str, target: Path, sha256_prefix: str, size: int | None = None) -> Path:
    """Fetches `url` into the file `target`, which exists afterwards only with the right hash.

    sha256_prefix: at least 8 hex digits. size: length in bytes where it is known.
    A transfer that breaks is resumed by a Range request from the bytes in TARGET.part, up to five times per call and
    again by the next call. RuntimeError: the transfer failed, or what came is not that file (its bytes are removed).
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
        found = sha256(part)
        if not found.startswith(sha256_prefix):
            head = part.read_bytes()[:64].lstrip().lower()
            part.unlink()
            page = "; it is an HTML page" if head.startswith((b"<!doctype", b"<html")) else ""
            raise RuntimeError(f"what {url} sent has SHA-256 {found[:16]}..., not {sha256_prefix[:16]}...{page}")
        os.replace(part, target)
    return target


def _transfer(url: str, part: Path, size: int | None) -> None:
    error: Exception | None = None
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
            with open_url(url, have) as response, open(part, "ab") as stream:
                if have and response.status != 206:
                    # The server sends the whole file again.
                    stream.truncate(0)
                    have = 0
                total = _announced(response, have)
                limit = size if size is not None else total
                while block := response.read(BLOCK):
                    have += len(block)
                    if limit is not None and have > limit:
                        raise RuntimeError(f"{url} sends more than the {limit:,} bytes of the file")
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            if limit is None or have == limit:
                return
            error = EOFError(f"the connection ended after {have:,} of {limit:,} bytes")
        except urllib.error.HTTPError as problem:
            if problem.code == 416 and have:
                # The part is at least as long as the file: the hash decides, or the next attempt starts anew.
                if size is None:
                    return
                part.unlink()
            elif problem.code < 500:
                raise RuntimeError(f"{url}: {problem}") from problem
            error = problem
        except (OSError, http.client.HTTPException) as problem:
            error = problem
    raise RuntimeError(
        f"{url} could not be downloaded ({error}); what came is kept in {part}; run the command again to resume or put "
        f"the file there by hand as {part.with_suffix('')}"
    ) from error


def _announced(response, have: int) -> int | None:
    span = response.headers.get("Content-Range", "")
    if span.rpartition("/")[2].isdigit():
        return int(span.rpartition("/")[2])
    length = response.headers.get("Content-Length")
    return have + int(length) if length and length.isdigit() else None


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


def extract(archive: Path, root: Path) -> None:
    """Unpacks a tar file into `root`; nothing of it is written outside, no link, device or mode of it is trusted.

    Files are complete as soon as they are under their name: they are unpacked beside and moved. RuntimeError names the
    archive where a member tries to leave (tarfile's "data" filter, PEP 706), the archive is damaged or the disk full.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".extracting-") as beside, tarfile.open(archive) as tar:
            needed, free = sum(member.size for member in tar), shutil.disk_usage(root).free
            if needed > free:
                raise RuntimeError(f"{archive} needs {needed:,} bytes in {root}, {free:,} are free")
            tar.extractall(beside, filter="data")
            for path in sorted(Path(beside).rglob("*")):
                target = root / path.relative_to(beside)
                if path.is_dir() and not path.is_symlink():
                    target.mkdir(exist_ok=True)
                else:
                    os.replace(path, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RuntimeError(f"{archive} could not be extracted into {root}: {error}") from error
