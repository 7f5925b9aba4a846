"""Locks between processes that a dead process does not hold."""

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

    OSError where the file system has no locks.
    path: the lock file, in a folder that exists. what: what is being written, for the message. wait: at least as long
        as somebody's `is_held` may take.
    """

    def __init__(self, path: Path, what: str, wait: float = 0.2):
        self.path = path
        self.what = what
        self.wait = wait
        self._name = os.path.realpath(path)
        self._file: int | None = None

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
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # it helps the next process that meets the lock; a full disk must not matter here
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            holder = os.pread(file, 200, 0).decode(errors="replace") or "another process"
            os.close(file)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise Held(f"{self.what} is being written by {holder}") from None
            raise _explained(error, self.path) from error
        self._file = file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
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
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise _explained(error, path) from error
    finally:
        os.close(file)


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno not in WITHOUT_LOCKS:
        return error
    what = "the file system has no locks to keep a second writer out (Lustre has them with -o flock)"
    return OSError(error.errno, what, str(path))
