"""Runs a program that nobody trusts; started by `_confined.py` as a process of its own.

Nothing of onsa is imported here: the standard library only, so that it starts in milliseconds. One
JSON order comes in by standard input; what goes out by standard output is a line that says how the
program is confined, then the order's token if it ran to its end, else a line that says why not.

Where Linux allows it the program gets namespaces: no network, no other process in sight, every file
system read-only but an empty one in memory. Elsewhere Python itself refuses: an audit hook that the
program cannot take out again, which native code could still pass by.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER = 0x20000, 0x4000000, 0x8000000, 0x10000000
NEW_PIDS, NEW_NETWORK = 0x20000000, 0x40000000
MOUNT_READ_ONLY, MOUNT_NO_SETUID, MOUNT_NO_DEVICES, MOUNT_RECURSIVE, MOUNT_PRIVATE = (
    0x1, 0x2, 0x4, 0x4000, 0x40000)  # fmt: skip
MOUNT_SETATTR, HERE, RECURSIVE = (
    442,
    -100,
    0x8000,
)  # a system call without a name in older libraries
DEATH_SIGNAL, KEEP_CAPABILITIES, NO_NEW_PRIVILEGES = 1, 8, 38
CAPABILITIES_VERSION, READ_ANY_FILE = 0x20080522, 1 << 2
FIRST_STRANGER, STRANGERS = 1_000_000, 1_000_000_000  # user ids that belong to nobody
PROCESSES, OPEN_FILES = 32, 64
WORKPLACE = b"/tmp"  # of the program: what other programs keep there is out of its sight
MOST_WORDS = 300  # characters of a reason

# What Python reports of itself and is harmless; a program that needs more is refused.
ALLOWED = {"os.listdir", "os.scandir", "os.walk", "os.putenv", "os.unsetenv", "os.getxattr"}
REFUSED = ("os.", "socket.", "subprocess.", "shutil.", "ctypes.", "pty.", "signal.", "fcntl.",
           "sqlite3.", "urllib.", "http.", "resource.", "syslog.")  # fmt: skip
REFUSED_MODULES = {"ctypes", "_ctypes", "_posixsubprocess", "cffi"}


def main() -> NoReturn:
    order = json.loads(sys.stdin.buffer.read())
    told = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    is_apart = order["namespaces"] and _unshare()
    child = os.fork()  # the first process of the new namespace, if there is one
    if child:
        _watch(child, time.monotonic() + order["seconds"])
    _confine(order, is_apart)
    os.write(told, b"namespaces\n" if is_apart else b"audit hook\n")
    os.write(told, _run(order).encode("utf-8", "replace")[:MOST_WORDS] + b"\n")
    os._exit(0)


def _run(order: dict[str, Any]) -> str:
    """The order's token once the program and its tests have run to their end, else a reason."""
    try:
        room: dict[str, Any] = {"__name__": "candidate"}
        exec(_compiled(order["programs"]), room)
        exec(compile(order["tests"], "tests", "exec"), room)
    except BaseException as fault:  # also SystemExit: leaving early is no pass
        return f"{type(fault).__name__}: {fault}".replace("\n", " ")
    return str(order["token"])


def _compiled(programs: list[str]) -> Any:
    """The first of the readings that is Python, else the error of the first."""
    first: Exception | None = None
    for program in programs:
        try:
            return compile(program, "reply", "exec")
        except Exception as fault:
            first = first or fault
    assert first is not None, "a reading at least"
    raise first


def _watch(child: int, deadline: float) -> NoReturn:
    """Wait for the program, and end it at the deadline; its namespace ends with it."""
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            os._exit(0)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os._exit(1)


def _unshare() -> bool:
    """Whether this process's children get namespaces of their own."""
    flags = NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PIDS | NEW_NETWORK
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            return _call("unshare", flags) == 0
        if _call("unshare", flags | NEW_USER):
            return False
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    except (OSError, AttributeError):  # no such call here (macOS), or it is forbidden
        return False
    return True


def _confine(order: dict[str, Any], is_apart: bool) -> None:
    _limit(order)
    if not is_apart:
        sys.addaudithook(_hook(os.path.realpath(os.getcwd())))  # noqa: PTH109
        return
    _call("prctl", DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    stranger = FIRST_STRANGER + order["number"] % STRANGERS if os.geteuid() == 0 else None
    owner = "" if stranger is None else f",uid={stranger},gid={stranger}"
    read_only = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY)
    plain = MOUNT_NO_SETUID | MOUNT_NO_DEVICES
    room = f"size={order['file_bytes']},mode=700{owner}".encode()
    steps = [
        _call("mount", None, b"/", None, MOUNT_RECURSIVE | MOUNT_PRIVATE, None),
        _call("syscall", MOUNT_SETATTR, HERE, b"/", RECURSIVE, read_only, 32),
        _call("mount", b"none", WORKPLACE, b"tmpfs", plain, room),
    ]
    assert not any(steps), f"mounting failed: {steps}"
    # Sockets of other programs are files that even a read-only system lets one talk to.
    _call("mount", b"none", b"/run", b"tmpfs", plain | MOUNT_READ_ONLY, b"size=0")
    _call("mount", b"none", b"/proc", b"proc", MOUNT_READ_ONLY, None)  # else the old one, read-only
    os.chdir(WORKPLACE)
    _drop(stranger)


def _drop(stranger: int | None) -> None:
    """Give up every privilege but, of root, that of reading Python's own library."""
    kept = 0
    if stranger is not None:
        _call("prctl", KEEP_CAPABILITIES, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(stranger, stranger, stranger)
        os.setresuid(stranger, stranger, stranger)
        kept = READ_ANY_FILE
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    if _call("capset", header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)):
        assert not _call("capset", header, (ctypes.c_uint32 * 6)()), "privileges were kept"
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _limit(order: dict[str, Any]) -> None:
    seconds = int(order["seconds"]) + 1
    for kind, limit in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, order["file_bytes"]),
        (resource.RLIMIT_AS, order["memory_bytes"]),
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(kind)[1]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):
            assert sys.platform != "linux", "a limit was refused"  # macOS has no RLIMIT_AS


def _hook(folder: str) -> Any:
    """Refuses whatever Python reports that reaches beyond `folder`."""
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    real, join = os.path.realpath, os.path.join

    def refuse(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = details
            inside = isinstance(path, int) or (real(os.fsdecode(path)) + "/").startswith(
                join(folder, "")
            )
            if not flags & writing or inside:
                return
        elif event == "import":
            if details[0] not in REFUSED_MODULES:
                return
        elif event in ALLOWED or not event.startswith(REFUSED):
            return
        raise PermissionError(f"{event} is not allowed here")

    return refuse


def _call(name: str, *values: Any) -> int:
    """A call of the C library; 0 where it went well."""
    return int(getattr(ctypes.CDLL(None), name)(*values))


if __name__ == "__main__":
    main()
