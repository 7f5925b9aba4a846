"""Locks between processes that a dead process does not hold, and what there is where a file system has none."""

import errno
import fcntl
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
# A process loses its record locks on a file as soon as it closes any descriptor of it, so within one process a second
# holder must be turned away before it opens the file.
_held: set[str] = set()
_guard = threading.Lock()


class Held(RuntimeError):
    """Another living process, or another holder in this one, has the lock."""


class Lock:
    """An exclusive lock named by a file, for use in a `with` block; Held if it is not free within `wait` seconds.

    A POSIX record lock. The kernel frees it when its process ends, however that happens; NFS carries it from machine
    to machine; and forked workers do not inherit it, so workers that outlive a killed parent for some seconds keep
    nobody out. It does not exclude a second holder in the same process, which `_held` does. The file stays: removing
    it would let two processes lock two files of one name.

    Where the file system has no locks (Lustre mounted without -o flock), `LinkLock` takes over.
    path: the lock file, in a folder that exists. what: what is being written, for the message. wait: at least as long
        as somebody's `is_held` may take.
    """

    def __init__(self, path: Path, what: str, wait: float = 0.2):
        self.path = path
        self.what = what
        self.wait = wait
        self._name = os.path.realpath(path)
        self._file: int | None = None
        self._link: LinkLock | None = None

    def __enter__(self) -> "Lock":
        deadline = time.monotonic() + self.wait
        while True:
            try:
                self._acquire()
                return self
            except Held:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)

    def _acquire(self) -> None:
        with _guard:
            if self._name in _held:
                raise Held(f"{self.what} is already being written by this process")
            _held.add(self._name)
        try:
            self._open()
        except BaseException:
            _held.discard(self._name)
            raise

    def _open(self) -> None:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        kept: int | None = file
        link = None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # it helps the next process that meets the lock; a full disk must not matter here
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            holder = os.pread(file, 200, 0).decode(errors="replace") or "another process"
            if error.errno in WITHOUT_LOCKS:
                link = LinkLock(self.path, self.what)
            os.close(file)
            kept = None
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise Held(f"{self.what} is being written by {holder}") from None
            if link is None:
                raise
            link.acquire()
        self._file, self._link = kept, link

    def __exit__(self, *_):
        if self._link:
            self._link.release()
        if self._file is not None:
            os.close(self._file)
        self._file = self._link = None
        _held.discard(self._name)


def is_held(path: Path) -> bool:
    """Whether somebody has the lock of that file now; any number may ask at once."""
    if os.path.realpath(path) in _held:
        return True
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return LinkLock(path, str(path)).holder() is not None
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise
    finally:
        os.close(file)


class LinkLock:
    """The substitute without lock calls: a symbolic link whose target names the holder, made in one atomic step.

    Links are numbered. The highest decides: while its holder lives the lock is held; when he is dead (known by process
    number and start, on his own machine only) the next number is taken, which just one of several can create. A
    holder on another machine counts as living: the message names the link to remove.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        self.what = what
        self._mine: str | None = None

    def _latest(self) -> int:
        names = os.listdir(self.path.parent)
        prefix = f"{self.path.name}."
        return max((int(n[len(prefix) :]) for n in names if n.startswith(prefix)), default=0)

    def holder(self) -> str | None:
        """Who has the lock, in words; None if nobody alive has."""
        while latest := self._latest():
            try:
                holder = os.readlink(f"{self.path}.{latest}")
            except FileNotFoundError:
                continue  # released between two looks
            return holder if _alive(holder) else None
        return None

    def acquire(self) -> None:
        while True:
            # The number first: whoever takes the lock after this look takes the number that we would need.
            mine = f"{self.path}.{self._latest() + 1}"
            if holder := self.holder():
                raise Held(
                    f"{self.what} is being written by {holder.partition(',')[0]} (this file system has no locks; "
                    f"if that process is gone, remove {self.path}.{self._latest()})"
                )
            try:
                os.symlink(_me(), mine)
            except FileExistsError:
                continue
            except OSError as error:
                raise OSError(error.errno, "the file system has neither locks nor symbolic links") from error
            self._mine = mine
            return

    def release(self) -> None:
        assert self._mine is not None, "released before it was acquired"
        os.unlink(self._mine)


def _me(pid: int | None = None) -> str:
    """A process of this machine, in words; start times count kernel ticks since boot, so no clock change moves them."""
    pid = pid or os.getpid()
    machine = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}, {os.readlink('/proc/self/ns/pid')}"
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"process {pid} on {socket.gethostname()}, {started}, {machine}"


def _alive(holder: str) -> bool:
    try:
        pid = int(holder.split()[1])
        here = _me().split(", ")[2:] == holder.split(", ")[2:]
        return _me(pid) == holder if here else True
    except (ValueError, IndexError):
        return True  # nobody we know how to judge
    except OSError:
        return False
