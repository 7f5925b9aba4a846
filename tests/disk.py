"""A disk that dies at a chosen system call, for tests: the process is killed there, or the power fails.

`Disk` stands in for the `os` module in the modules that write. After the power loss it modelled, the real files hold
what had been synced: data by fsync of the file, names (created, replaced, removed) by fsync of the folder.
"""

import os

COUNTED = ("open", "write", "fsync", "ftruncate", "close", "unlink", "replace", "mkdir", "pread", "fstat", "symlink")
MODULES = ("eval.files.journal", "eval.records.rows", "eval.files.locks")


class Killed(BaseException):
    """Not an Exception: nothing that handles errors runs after a kill."""


class Disk:
    """dies_at: number of the call (from 1) that is never finished, None: none. torn: if it is a write, half of it."""

    def __init__(self, dies_at=None, torn=False):
        self.dies_at, self.torn = dies_at, torn
        self.calls, self.dead = [], False
        self.paths, self.durable, self.undo = {}, {}, []

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in COUNTED:
            return real

        def call(*args, **settings):
            if self.dead:
                raise Killed
            self.calls.append(name)
            if len(self.calls) == self.dies_at:
                self.dead = True
                if name == "write" and self.torn:
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                raise Killed
            before = getattr(self, f"before_{name}", lambda *_: None)(*args)
            result = (
                None if name == "fsync" else real(*args, **settings)
            )  # the model needs no real sync, and it is slow
            getattr(self, f"after_{name}", lambda *_: None)(result, before, *args)
            return result

        return call

    def before_open(self, path, *_):
        return os.path.exists(path)

    def after_open(self, file, existed, path, *_):
        path = str(path)
        self.paths[file] = path
        if not existed:
            self.undo.append((os.path.dirname(path), lambda: os.unlink(path)))
            self.durable[path] = b""
        elif not os.path.isdir(path):
            self.durable.setdefault(path, content(path))

    def after_close(self, _result, _before, file):
        self.paths.pop(file)

    def after_fsync(self, _result, _before, file):
        path = self.paths[file]
        if os.path.isdir(path):
            self.undo = [(folder, undo) for folder, undo in self.undo if folder != path]
        else:
            self.durable[path] = content(path)

    def before_unlink(self, path):
        return self.durable.get(str(path), content(path))

    def after_unlink(self, _result, lost, path):
        self.undo.append((os.path.dirname(path), lambda: restore(path, lost)))
        self.durable.pop(str(path), None)

    def before_replace(self, _source, path):
        return content(path) if os.path.exists(path) else None

    def after_replace(self, _result, lost, source, path):
        def back():
            os.replace(path, source)
            if lost is not None:
                restore(path, lost)

        self.undo.append((os.path.dirname(path), back))
        self.durable[str(path)] = self.durable.pop(str(source))

    def after_mkdir(self, _result, _before, path):
        self.undo.append((os.path.dirname(path), lambda: os.rmdir(path)))

    def after_symlink(self, _result, _before, _target, path):
        self.undo.append((os.path.dirname(path), lambda: os.unlink(path)))

    def bury(self):
        """What the kernel does with a dead process: its files are closed, its locks freed."""
        for file in self.paths:
            os.close(file)

    def lose_power(self, zeros):
        """zeros: files keep their length beyond what was synced, without the data."""
        for path, kept in self.durable.items():
            if os.path.exists(path) and content(path) != kept:
                restore(path, kept + (b"\0" * max(0, len(content(path)) - len(kept)) if zeros else b""))
        for _, undo in reversed(self.undo):
            undo()


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def restore(path, data):
    with open(path, "wb") as stream:
        stream.write(data)


def put_in(monkeypatch, disk):
    """Let the modules that write use this disk, as a new process would: without locks of its own."""
    for module in MODULES:
        monkeypatch.setattr(f"{module}.os", disk)
    monkeypatch.setattr("eval.files.locks._held", set())
