"""What the user's systemd is asked for: a scope, which is a cgroup that is ours to divide.

A login session's own cgroup belongs to root, and only systemd may move a process out of it. So it
is asked over D-Bus, on the socket that systemctl(1) uses, with the three messages that this takes.
Runs in any process of the user's, also as uid 0 of a user namespace. The scope ends with its last
process, whatever killed that; nothing else is left.

https://dbus.freedesktop.org/doc/dbus-specification.html; org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

_MANAGER = "org.freedesktop.systemd1"
_PATIENCE = 5.0  # seconds for an answer
_LONGEST = 1 << 20  # bytes of a message
_CALL, _ANSWER, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_TO, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8


class SystemdError(RootlessError):
    """There is no systemd of the user's, or it refuses."""


def start_scope(unit: str, parent: str, description: str) -> None:
    """Have this process moved to a new scope, named `unit`, in the slice `parent`.

    Returns before it has happened. SystemdError says why it cannot.
    """
    properties = [
        ("Description", "s", _text(description)),
        ("PIDs", "au", _array(os.getpid().to_bytes(4, "little"), 4)),
        ("Delegate", "b", (1).to_bytes(4, "little")),
        ("CollectMode", "s", _text("inactive-or-failed")),
        *([("Slice", "s", _text(parent))] if parent else []),
    ]
    body = _text(unit) + _pad(_text(unit), 4) + _text("fail")
    body = _array_at(body, b"".join(_aligned(list(map(_property, properties)), 8)), 8)
    body = _array_at(body, b"", 8)
    _ask("StartTransientUnit", "ssa(sv)a(sa(sv))", body)


def attach(unit: str, subgroup: str, pid: int) -> None:
    """Have a process of the user's moved to a group below that of a running scope."""
    body = _text(unit)
    body += _pad(body, 4) + _text(subgroup)
    body = _array_at(body, pid.to_bytes(4, "little"), 4)
    _ask("AttachProcessesToUnit", "ssau", body)


def _ask(method: str, signature: str, body: bytes) -> None:
    try:
        channel = _connect()
        try:
            channel.sendall(_message(method, signature, body))
            _read_answer(channel)
        finally:
            channel.close()
    except OSError as error:
        raise SystemdError(
            f"the user's systemd cannot be asked: {error.strerror or error}", hint=None
        ) from None


def _connect() -> socket:
    """The socket is authenticated by the kernel's word for who connects."""
    from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET
    from _socket import socket as new_socket

    channel = new_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    channel.settimeout(_PATIENCE)
    uid = _outer_uid()
    try:
        channel.connect(f"/run/user/{uid}/systemd/private")
        if not int.from_bytes(channel.getsockopt(SOL_SOCKET, SO_PEERCRED, 4), "little"):
            raise SystemdError("the user's systemd runs in another pid namespace")
        told = str(uid).encode().hex()
        channel.sendall(f"\0AUTH EXTERNAL {told}\r\nBEGIN\r\n".encode())
        said = b""
        while not said.endswith(b"\r\n") and len(said) < 200:
            said += _received(channel, 1)
        if not said.startswith(b"OK "):
            raise SystemdError("the user's systemd refuses us")
    except BaseException:
        channel.close()
        raise
    return channel


def _outer_uid() -> int:
    """Who we are to systemd, which is outside our user namespace."""
    me = os.geteuid()
    with open("/proc/self/uid_map", encoding="ascii") as file:
        for line in file:
            inside, outside, count = map(int, line.split())
            if inside <= me < inside + count:
                return outside + me - inside
    return me


def _read_answer(channel: socket) -> None:
    """Until the one to our only call; signals may come first."""
    while True:
        fixed = _received(channel, 16)
        body, fields = (int.from_bytes(fixed[at : at + 4], "little") for at in (4, 12))
        if body + fields > _LONGEST or fixed[0:1] != b"l":
            raise SystemdError("the user's systemd answers in a way we do not know")
        rest = _received(channel, fields + -fields % 8 + body)
        if fixed[1] == _ANSWER:
            return
        if fixed[1] == _ERROR:
            said = rest[fields + -fields % 8 :]
            length = int.from_bytes(said[:4], "little")
            raise SystemdError(
                f"the user's systemd says: {said[4 : 4 + length][:300].decode(errors='replace')}"
            )


def _received(channel: socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = channel.recv(size - len(found))
        if not piece:
            raise SystemdError("the user's systemd has hung up")
        found += piece
    return found


def _message(method: str, signature: str, body: bytes) -> bytes:
    """A method call of the manager: little-endian, serial number 1."""
    fields = [
        _field(_PATH, "o", _text("/org/freedesktop/systemd1")),
        _field(_INTERFACE, "s", _text(f"{_MANAGER}.Manager")),
        _field(_MEMBER, "s", _text(method)),
        _field(_DESTINATION, "s", _text(_MANAGER)),
        _field(_SIGNATURE, "g", _signature(signature)),
    ]
    head = b"l" + bytes((_CALL, 0, 1)) + len(body).to_bytes(4, "little") + (1).to_bytes(4, "little")
    packed = b"".join(_aligned(fields, 8))
    head += len(packed).to_bytes(4, "little") + packed
    return head + _pad(head, 8) + body


def _field(code: int, kind: str, value: bytes) -> bytes:
    return bytes((code,)) + _signature(kind) + value


def _property(one: tuple[str, str, bytes]) -> bytes:
    """(name, variant); `value` is aligned to 4, which all of ours are content with."""
    name, kind, value = one
    packed = _text(name) + _signature(kind)
    return packed + _pad(packed, 4) + value


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(4, "little") + raw + b"\0"


def _signature(text: str) -> bytes:
    return bytes((len(text),)) + text.encode() + b"\0"


def _array(content: bytes, align: int) -> bytes:  # noqa: ARG001 - says what it is an array of
    return len(content).to_bytes(4, "little") + content


def _array_at(before: bytes, content: bytes, align: int) -> bytes:
    """`before` and an array: its length counts from where its first element is aligned."""
    before += _pad(before, 4)
    before += len(content).to_bytes(4, "little")
    return before + _pad(before, align) + content


def _aligned(parts: list[bytes], to: int) -> list[bytes]:
    return [part + (_pad(part, to) if part is not parts[-1] else b"") for part in parts]


def _pad(before: bytes, to: int) -> bytes:
    return bytes(-len(before) % to)
