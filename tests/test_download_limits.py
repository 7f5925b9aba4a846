"""Downloads from servers that trickle, never end or answer elsewhere, and archives of other things than files."""

import hashlib
import http.server
import shutil
import ssl
import subprocess
import tarfile
import threading
import time

import pytest

from eval.files import download as module
from eval.files.archive import extract
from eval.files.download import download, open_url
from tests.test_download import tar

BODY = bytes(range(256)) * 400
DIGEST = hashlib.sha256(BODY).hexdigest()
FIRST = 1000  # bytes after which a first answer breaks off


class Server(http.server.BaseHTTPRequestHandler):
    """Misbehaves as the last part of the path says."""

    def do_GET(self):
        getattr(self, self.path.removeprefix("/"))(self.headers.get("Range"))

    def headers_of(self, status: int, **fields: str):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:
            return False
        return True

    def trickle(self, _):
        self.headers_of(200, Content_Length=str(len(BODY)))
        self.drip(BODY)

    def slow_headers(self, _):
        self.drip(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 1000)

    def drip(self, data: bytes):
        for byte in data:
            if self.server.over.is_set() or not self.write(bytes([byte])):
                return
            time.sleep(0.02)

    def endless(self, _):
        self.headers_of(200)
        while not self.server.over.is_set() and self.write(bytes(1 << 16)):
            pass

    def gigantic(self, _):
        self.headers_of(200, Content_Length=str(1 << 40))

    def from_zero(self, span):
        """Each answer to a Range request begins at byte 0, whatever the range."""
        if span:
            self.headers_of(206, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}", Content_Length=str(len(BODY)))
            self.write(BODY)
        else:
            self.headers_of(200, Content_Length=str(len(BODY)))
            self.server.requests += 1
            self.write(BODY if self.server.requests > 1 else BODY[:FIRST])

    def without_range(self, span):
        """Says 206 and not which part it is."""
        self.headers_of(206 if span else 200, Content_Length=str(len(BODY)))
        self.write(BODY[FIRST:] if span else BODY[:FIRST])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-keyout", folder / "key", "-out", folder / "cert", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return folder / "cert", folder / "key"


@pytest.fixture
def server(monkeypatch, certificate):
    """The address of a server whose certificate the downloads trust."""
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(*certificate)
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    served.socket = secure.wrap_socket(served.socket, server_side=True)
    served.over, served.requests, served.daemon_threads = threading.Event(), 0, True
    served.handle_error = lambda *_: None  # connections end in the middle here
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    trusted = ssl.create_default_context(cafile=certificate[0])
    monkeypatch.setattr(module, "open_url", lambda url, start=0: open_url(url, start, trusted))
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    yield f"https://localhost:{served.server_port}"
    served.over.set()
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.mark.parametrize(("path", "said"), [("trickle", "only [0-9]+ bytes in"), ("slow_headers", "no whole answer")])
def test_an_answer_that_trickles_is_given_up(server, tmp_path, monkeypatch, path, said):
    """Each byte comes well within the time-out of the socket."""
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=f"{said}.*run the command again"):
        download(f"{server}/{path}", tmp_path / "f", DIGEST, len(BODY))
    assert time.monotonic() - started < 5


def test_a_call_ends_after_the_longest_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.2)
    with pytest.raises(RuntimeError, match=r"bytes after .* hours"):
        download(f"{server}/trickle", tmp_path / "f", DIGEST, len(BODY))


@pytest.mark.parametrize("path", ["endless", "gigantic"])
def test_a_file_of_unknown_size_has_a_limit(server, tmp_path, monkeypatch, path):
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    with pytest.raises(RuntimeError, match=r"more than the 1,048,576"):
        download(f"{server}/{path}", tmp_path / "f", DIGEST)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == 0


def test_an_answer_from_another_byte_is_never_appended(server, tmp_path, monkeypatch):
    """The second answer begins at 0; the part is thrown away and the third request, without a Range, gets the file."""
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    assert download(f"{server}/from_zero", tmp_path / "f", DIGEST).read_bytes() == BODY


def test_an_answer_that_does_not_say_where_it_begins_is_refused(server, tmp_path):
    with pytest.raises(RuntimeError, match=r"bytes from 1,000 on were requested, the server sends None"):
        download(f"{server}/without_range", tmp_path / "f", DIGEST)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([({"name": "a/link", "type": tarfile.SYMTYPE, "linkname": "b"}, b"")], "neither a file nor a folder"),
        ([({"name": "sparse", "type": tarfile.GNUTYPE_SPARSE}, b"")], "x.tar"),
        ([({"name": "a"}, b"1"), ({"name": "a"}, b"2")], "names a file twice"),
        ([({"name": "a"}, b"1"), ({"name": "a/b"}, b"2")], "x.tar"),
        ([({"name": "/etc/evil"}, b"1")], "leads out"),
        ([({"name": "n" * 5000}, b"1")], "too long"),
    ],
    ids=["a link inside", "sparse", "a name twice", "a file as folder", "absolute", "a long name"],
)
def test_only_files_and_folders_of_one_name_each(tmp_path, members, said):
    with pytest.raises(RuntimeError, match=rf"x\.tar.*{said}|{said}"):
        extract(tar(tmp_path / "x.tar", members), tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_a_link_is_refused_before_anything_is_written(tmp_path):
    """One ordinary link: neither it nor the file before it is there afterwards."""
    (tmp_path / "beside").mkdir()
    link = {"name": "link", "type": tarfile.SYMTYPE, "linkname": "../beside"}
    with pytest.raises(RuntimeError, match="'link' is neither a file nor a folder"):
        extract(tar(tmp_path / "x.tar", [({"name": "first"}, b"1"), (link, b"")]), tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == list((tmp_path / "beside").iterdir()) == []
