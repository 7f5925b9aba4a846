"""Removes a whole run, unless a process writes it."""

import contextlib
import os
import shutil
from pathlib import Path

from eval.files.journal import sync_folder
from eval.files.locks import Lock, is_held


def remove(folder: Path) -> None:
    """Remove a run's folder with all its rows and maps.

    It gets another name in one step first, so that a kill leaves no half of a run among the records. RuntimeError if a
    living process writes it; OSError if it cannot be removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink()  # a stray file, or a link: what it leads to is not ours
        return
    gone = folder.with_name(f".removed.{folder.name}.{os.getpid()}")
    for lock in sorted(folder.glob(".*.lock")):
        if is_held(lock):
            raise RuntimeError(f"{folder} is being written by another process ({lock.name}); it is not removed")
    with contextlib.ExitStack() as locks:
        for lock in sorted(folder.glob(".*.lock")):
            locks.enter_context(Lock(lock, str(folder)))
        folder.rename(gone)
        sync_folder(folder.parent)
        shutil.rmtree(gone)
