"""Downloads against a server on the loopback that breaks off, lies and redirects."""

import hashlib
import http.server
import io
import shutil
import ssl
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from eval.files import archive as archives
from eval.files import download as module
from eval.files.archive import extract
from eval.files.download import Archive, download, open_url

BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()
URL = "https://example.org/file.bin"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `server.body`; `server.cuts` lists after how many bytes a connection breaks off."""

    def do_GET(self):
        server = self.server
        server.requests.append(self.headers.get("Range"))
        body, start = server.body, 0
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(server.status)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[start:][:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A plain server that stands in for the web behind `open_url`; the https rules have tests of their own."""
    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    http_server.body, http_server.cuts, http_server.requests = BODY, [], []
    http_server.ranges, http_server.status = True, 200
    thread = threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def opened(url, start=0, context=None):
        headers = {"Range": f"bytes={start}-"} if start else {}
        address = f"http://127.0.0.1:{http_server.server_port}/"
        return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)

    monkeypatch.setattr(module, "open_url", opened)
    monkeypatch.setattr(module, "PAUSE", 0)
    yield http_server
    http_server.shutdown()
    http_server.server_close()
    thread.join()


def test_a_file_arrives_whole_and_is_not_fetched_again(server, tmp_path):
    target = download(URL, tmp_path / "deep" / "file.bin", DIGEST[:8])
    assert target.read_bytes() == BODY
    download(URL, target, DIGEST[:8])
    assert len(server.requests) == 1
    assert [p.name for p in target.parent.iterdir() if not p.name.endswith(".lock")] == ["file.bin"]


def test_a_broken_transfer_is_resumed_where_it_broke(server, tmp_path):
    server.cuts = [300_000, 200_000]
    assert download(URL, tmp_path / "f", DIGEST, len(BODY)).read_bytes() == BODY
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]


def test_a_part_of_an_earlier_call_is_resumed(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    assert download(URL, tmp_path / "f", DIGEST).read_bytes() == BODY
    assert server.requests == ["bytes=1000-"]


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    assert download(URL, tmp_path / "f", DIGEST).read_bytes() == BODY


def test_a_part_that_is_too_long_is_thrown_away(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    assert download(URL, tmp_path / "f", DIGEST, len(BODY)).read_bytes() == BODY


def test_a_transfer_that_never_succeeds_says_how_to_go_on(server, tmp_path):
    server.cuts = [10] * 50
    with pytest.raises(RuntimeError, match=r"f\.part.*resume"):
        download(URL, tmp_path / "f", DIGEST, len(BODY))
    assert (tmp_path / "f.part").read_bytes() == BODY[:50]
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(("body", "said"), [(b"other bytes", "SHA-256"), (b"<!DOCTYPE html><p>Sign in", "HTML page")])
def test_other_bytes_are_refused_and_removed(server, tmp_path, body, said):
    server.body = body
    with pytest.raises(RuntimeError, match=said):
        download(URL, tmp_path / "f", DIGEST)
    assert not list(tmp_path.glob("f")) + list(tmp_path.glob("*.part"))


def test_more_bytes_than_announced_are_refused(server, tmp_path):
    with pytest.raises(RuntimeError, match="more than the 1,000 bytes"):
        download(URL, tmp_path / "f", DIGEST, 1000)


def test_a_page_that_does_not_exist_is_not_tried_again(server, tmp_path):
    server.status = 404
    with pytest.raises(RuntimeError, match="404"):
        download(URL, tmp_path / "f", DIGEST)
    assert len(server.requests) == 1


def test_two_processes_download_once(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda _: download(URL, tmp_path / "f", DIGEST), range(4)))
    assert {path.read_bytes() for path in actual} == {BODY}
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://example.org/f", "file:///elsewhere/f", "ftp://example.org/f", "f"])
def test_only_https(url, tmp_path):
    with pytest.raises(ValueError, match="https only"):
        download(url, tmp_path / "f", DIGEST)
    with pytest.raises(ValueError, match="https only"):
        open_url(url)


def test_a_redirect_away_from_https_is_refused():
    request = urllib.request.Request(URL)
    with pytest.raises(ValueError, match="https only"):
        module._SecureRedirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/f")
    assert module._SecureRedirects().redirect_request(request, None, 302, "Found", {}, "https://example.org/g")


@pytest.mark.parametrize("digest", ["", "abc", "xyzxyzxyz", "ABCDEF0123"])
def test_no_download_without_a_hash(digest, tmp_path):
    with pytest.raises(ValueError, match="hash"):
        download(URL, tmp_path / "f", digest)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_the_certificate_is_verified(server, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-keyout", key, "-out", certificate, "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    server.socket = secure.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/f"
    with pytest.raises(urllib.error.URLError, match="certificate"):
        open_url(url)
    with open_url(url, 5, ssl.create_default_context(cafile=certificate)) as response:
        assert response.status == 206
        assert response.read() == BODY[5:]


def tar(path, members):
    """A tar file of (TarInfo fields, content)."""
    with tarfile.open(path, "w") as archive:
        for fields, content in members:
            info = tarfile.TarInfo(fields.pop("name"))
            info.size = len(content)
            for name, value in fields.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "member",
    [
        {"name": "../outside"},
        {"name": "/absolute/../../outside"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "/outside"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "../../outside"},
        {"name": "link", "type": tarfile.LNKTYPE, "linkname": "../outside"},
        {"name": "device", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"name": "pipe", "type": tarfile.FIFOTYPE},
    ],
    ids=lambda m: f"{m['name']}-{m.get('linkname', '')}",
)
def test_an_archive_never_writes_outside(tmp_path, member):
    root = tmp_path / "a" / "root"
    archive = tar(tmp_path / "x.tar", [({"name": "fine"}, b"1"), (dict(member), b"")])
    with pytest.raises(RuntimeError, match=r"x\.tar"):
        extract(archive, root)
    assert [p for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()] == [archive]


def test_a_truncated_archive_leaves_nothing_behind(tmp_path):
    archive = tar(tmp_path / "x.tar", [({"name": "a/1"}, b"x" * 5000), ({"name": "a/2"}, b"y" * 5000)])
    archive.write_bytes(archive.read_bytes()[:7000])
    with pytest.raises(RuntimeError, match=r"x\.tar"):
        extract(archive, tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_an_archive_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage._replace(free=9_999))
    with pytest.raises(RuntimeError, match=r"needs 10,000 bytes in .*, 9,999 are free"):
        extract(tar(tmp_path / "x.tar", [({"name": "a"}, b"x" * 10_000)]), tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_extraction_adds_to_a_folder_that_is_there(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "own").write_text("own")
    extract(tar(tmp_path / "x.tar", [({"name": "dev/new", "mode": 0o4777}, b"new")]), tmp_path)
    assert (tmp_path / "dev" / "own").read_text() == "own"
    assert (tmp_path / "dev" / "new").read_text() == "new"
    assert not (tmp_path / "dev" / "new").stat().st_mode & 0o7022


def test_an_archive_is_fetched_only_where_its_files_are_missing(server, tmp_path):
    server.body = tar(tmp_path / "x.tar", [({"name": "dev/a"}, b"a")]).read_bytes()
    archive = Archive(URL, hashlib.sha256(server.body).hexdigest(), len(server.body))
    root = tmp_path / "root"
    for _ in range(2):
        archive.fetch(root, lambda: (root / "dev" / "a").is_file())
    assert (root / "dev" / "a").read_text() == "a"
    assert len(server.requests) == 1
    # The archive is kept: files that get lost come back without the web.
    (root / "dev" / "a").unlink()
    archive.fetch(root, lambda: (root / "dev" / "a").is_file())
    assert len(server.requests) == 1
    assert (root / "dev" / "a").read_text() == "a"


def test_a_wrong_archive_put_there_by_hand_is_named_and_kept(tmp_path):
    (tmp_path / "file.bin").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="not the official archive"):
        Archive(URL, DIGEST, len(BODY)).fetch(tmp_path, lambda: False)
    assert (tmp_path / "file.bin").read_bytes() == b"something else"
