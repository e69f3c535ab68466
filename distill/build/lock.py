"""One build at a time: an exclusive lock for the whole command (SPEC 7, law 12).

The lock is the kernel's (flock), so a killed build leaves none behind. Children of `doit -n` inherit it: while one
still writes, no other build starts; a child whose parent is gone ends itself, from its fork on. POSIX only.
"""

import fcntl
import multiprocessing
import os
import threading
import time
from pathlib import Path

from distill.errors import LockedError

__all__ = ["take_lock", "watch_parent"]

_HELD: dict[str, int] = {}
_PARENT: list[int] = []
_PATIENCE_S = 3.0


def take_lock(project: Path) -> None:
    """Take the lock of a project until this process ends.

    Raises:
        LockedError: another build holds it.
    """
    path = project / ".distill" / "lock"
    key = str(path.absolute())
    if key in _HELD:
        return
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            if _is_alive(holder) or time.monotonic() > deadline:
                os.close(handle)
                raise LockedError(
                    f"{path.parent.name}/lock: process {holder or 'unknown'} builds this project; wait for it, then run doit again"
                ) from None
            time.sleep(0.05)
    os.truncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    if not _HELD:
        os.register_at_fork(before=_remember_parent, after_in_child=_watch_parent_of_fork)
    _HELD[key] = handle


def _is_alive(holder: str) -> bool:
    """Tell whether a process is still there; one that is not has left children that are about to end."""
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _remember_parent() -> None:
    _PARENT[:] = [os.getpid()]


def _watch_parent_of_fork() -> None:
    """End a forked child with its parent, also one that waits for its first action and would hold the lock for ever."""
    threading.Thread(target=_watch, args=(_PARENT[0],), daemon=True).start()


def watch_parent() -> None:
    """In a child of `doit -n`, end this process when its parent is gone, so that its lock goes with it."""
    parent = multiprocessing.parent_process()
    if parent is None or getattr(watch_parent, "watching", False):
        return
    watch_parent.watching = True  # type: ignore[attr-defined]
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
