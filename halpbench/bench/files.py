"""Files that survive an interruption: lines appended whole, files replaced whole."""

import fcntl
import io
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class LockedError(OSError):
    """Another run is writing to the same results."""


def append(path: Path, line: bytes) -> None:
    """Add a line to a file; when this returns, it is on disk.

    Raises
    ------
    OSError
        If the file cannot be written; it is as long as before then.
    """
    line = line + b"\n"
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, lest closing the file write again what has failed.
        with open(path, "ab+", buffering=0) as file:
            size = file.tell()
            # A line cut short has no end: begin a new one, lest the record be lost with it.
            if size > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(size)
                raise


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: readers see the old content or the new, never a part.

    Parameters
    ----------
    path : Path
    content : str or bytes
        Text is written in UTF-8.

    Raises
    ------
    OSError
        If the file cannot be written; nothing has changed then.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner can read; results are for everybody.
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def take(file: io.FileIO) -> str:
    """Lock a file and write its owner into it; return the owner if it is locked already."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        return file.readall().decode(errors="replace").strip() or "which has just begun"
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
    return ""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the file to errors of the system: those of a full disk name none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
