"""Unpacking an archive so that nothing of it lands outside its folder."""

import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

BLOCK = 1 << 20


def extract(archive: Path, root: Path) -> None:
    """Unpacks a tar file into `root`: its regular files and folders, written here under the names that it lists.

    tarfile's own extraction is not called: it follows links inside an archive. Files are complete as soon as they are
    under their name: they are unpacked beside and moved. RuntimeError names the archive where it holds anything else
    than files and folders, a name twice or one that leads out, is damaged, or does not fit on the disk.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".extracting-") as beside, tarfile.open(archive, "r:") as tar:
            members = [(_path_in(member), member) for member in tar]
            files = [path for path, member in members if not member.isdir()]
            if len(set(files)) != len(files):
                raise ValueError("it names a file twice")
            needed, free = sum(member.size for _, member in members), shutil.disk_usage(root).free
            if needed > free:
                raise RuntimeError(f"{archive} needs {needed:,} bytes in {root}, {free:,} are free")
            for path, member in members:
                _unpack(tar, member, Path(beside, path))
            for unpacked in sorted(Path(beside).rglob("*")):
                target = root / unpacked.relative_to(beside)
                if unpacked.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    os.replace(unpacked, target)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise RuntimeError(f"{archive} could not be extracted into {root}: {error}") from error


def _path_in(member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise ValueError(f"{member.name[:200]!r} is neither a file nor a folder")
    if path.is_absolute() or ".." in path.parts or "\0" in member.name or (not path.parts and not member.isdir()):
        raise ValueError(f"{member.name[:200]!r} leads out of the folder")
    return path


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    with open(target, "xb") as stream:
        if content is not None:  # as for every regular file
            shutil.copyfileobj(content, stream, BLOCK)
        if stream.tell() != member.size:
            raise EOFError(f"{member.name!r} is cut off")
