"""The one small process behind a user's bridges: it owns the namespaces they live in.

`ensure` starts it when nobody has, under the lock of the networks, so that two at once get the
same one. It enters (or, where containers survived another one, joins) a user namespace, whose
uid 0 it is, stays in the host's network, and keeps a second network namespace by a descriptor,
`netns_fd`: there the bridges are made, there its resolver listens, and there pasta gives a way
out, which is started again when it ends. Whoever runs a container on a network joins its user
namespace, and finds the network namespace by its number in /proc.

It outlives its starter and ends by itself when no container has needed it for a while. Killed, it
takes pasta and the bridges with it; containers live on, without network, in the user namespace.
The next `ensure` starts another one there and plugs them in again. live/holder.json names it.
"""

from __future__ import annotations

import os

from rootless import linux, living, process, userns
from rootless.errors import RootlessError
from rootless.living import Process
from rootless.network import bridge
from rootless.network.networks import OFF
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.network.choice import Choice
    from rootless.network.networks import Networks

_RECORD = "holder.json"
_IDLE = 10.0  # seconds without a container until it ends
_TICK = 2.0
_WAY_OUT = "tap0"
_SYSCTLS = {
    "ipv4/ip_forward": b"1",
    "ipv6/conf/all/forwarding": b"1",
    "ipv4/conf/all/rp_filter": b"1",  # who asks is known by address: it must be where that lives
    "ipv4/conf/default/rp_filter": b"1",
    "bridge/bridge-nf-call-iptables": b"0",
    "bridge/bridge-nf-call-ip6tables": b"0",
}


class Holder(Record):
    """A holder that runs; `netns` is the path of its bridges' network namespace."""

    process: Process
    netns_fd: int

    @property
    def netns(self) -> str:
        """For who is in its user namespace, or is its user."""
        return f"/proc/{self.process.pid}/fd/{self.netns_fd}"


def find(networks: Networks) -> Holder | None:
    """The one that runs, if any."""
    value = networks.read_live(_RECORD)
    if not isinstance(value, dict):
        return None
    held = Holder(Process(**value["process"]), value["netns_fd"])
    return held if living.is_alive(held.process) else None


def ensure(networks: Networks, chosen: Choice, *, inside: bool = False) -> Holder:
    """The holder, started if there is none. `chosen` is its way out (`choice.choose`).

    It stays for a while even when no container comes. `inside` is for who is in its user namespace
    already: a new one is made there. RootlessError when it cannot be had.
    """
    with networks.locked():
        return _ensured(networks, chosen, inside=inside)


def _ensured(networks: Networks, chosen: Choice, *, inside: bool) -> Holder:
    if found := find(networks):
        os.utime(networks.path("live", _RECORD))
        return found
    survivors = _survivors(networks)
    root = 0 if inside or not survivors else survivors[0].pid
    held = _start(networks, chosen, root, inside=inside)
    record = {"process": held.process.__dict__, "netns_fd": held.netns_fd}
    networks.write_live(_RECORD, record)
    return held


def _survivors(networks: Networks) -> list[Process]:
    """Who still runs a container on a network, or one that may be put on one again."""
    everywhere = (*networks.listing(), OFF)
    return [one.owner for network in everywhere for one in networks.endpoints(network)]


def _start(networks: Networks, chosen: Choice, root: int, *, inside: bool) -> Holder:
    """Fork it, and wait until its bridges can be made."""
    read_fd, write_fd = process.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            _live(networks, chosen, root, write_fd, inside=inside)
        os._exit(0)
    os.close(write_fd)
    os.waitpid(child, 0)
    told = process.read_frame(read_fd)
    os.close(read_fd)
    if told is None:
        raise RootlessError("the process that holds the networks died before it was ready")
    kind, value = told
    if kind == "error":
        raise process.raisable(value)
    pid, netns_fd = value
    holder = living.identify(pid)
    if holder is None:
        raise RootlessError("the process that holds the networks died at once")
    return Holder(holder, netns_fd)


def _live(
    networks: Networks, chosen: Choice, root: int, report_fd: int, *, inside: bool
) -> NoReturn:
    """The holder's whole life, in the grandchild."""
    import _signal

    code = 1
    try:
        os.setsid()
        os.chdir("/")
        for number in (_signal.SIGINT, _signal.SIGHUP, _signal.SIGTERM):
            _signal.signal(number, _signal.SIG_DFL)
        report_fd = _close_others(report_fd)
        try:
            if root:
                userns.join(root)
            elif not inside:
                userns.enter()
            served = _Served(networks, chosen)
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            process.write_frame(report_fd, "error", process.describe(error))
        else:
            process.write_frame(report_fd, "result", [os.getpid(), served.netns_fd])
            os.close(report_fd)
            served.run()
            code = 0
    finally:
        os._exit(code)


def _close_others(report_fd: int) -> int:
    """Give up every descriptor of the starter's but the report's, which is 3 then."""
    null = os.open("/dev/null", os.O_RDWR)
    high = os.dup2(report_fd, 100)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(high, 3, inheritable=False)
    linux.close_range(4)
    return 3


class _Served:
    """What the holder has, and does until nobody needs it."""

    def __init__(self, networks: Networks, chosen: Choice) -> None:
        from rootless.network.resolver import Resolver

        self._networks = networks
        self._chosen = chosen
        self.netns_fd, sockets = _network()
        self._path = f"/proc/{os.getpid()}/fd/{self.netns_fd}"
        self._resolver = Resolver(sockets, networks)
        self._outside = self._connect()
        self._replug()

    def run(self) -> None:
        self._resolver.loop.run(self._tick, _TICK)

    def _connect(self) -> object:
        """A way out of the bridges' namespace."""
        from rootless.network import attach

        if self._chosen.mode not in ("pasta", "slirp4netns"):
            return None
        attached = attach.outside(self._chosen, self._path, _WAY_OUT)
        attached.wait_ready()
        return attached

    def _replug(self) -> None:
        """Containers that outlived another holder get their cables again."""
        plugs: dict[str, list[bridge.Plugged]] = {}
        for network in self._networks.listing():
            for one in self._networks.endpoints(network):
                plugs.setdefault(one.container, []).append((network, one))
        for plugged in plugs.values():
            try:
                for _, one in plugged:  # the kernel takes its time with the old ones
                    bridge.unplug(one)
                bridge.plug(self._path, plugged)
            except (OSError, RootlessError):  # it ended meanwhile
                continue

    def _tick(self) -> bool:
        """Whether to go on."""
        from rootless.network.attachment import Attachment

        self._resolver.tick()
        if isinstance(self._outside, Attachment) and self._outside.has_ended():
            self._outside.stop()
            try:
                self._outside = self._connect()
            except RootlessError:  # the next tick tries again
                pass
        return not self._is_idle() or not self._end()

    def _is_idle(self) -> bool:
        import time

        try:
            since = os.stat(self._networks.path("live", _RECORD)).st_mtime
        except FileNotFoundError:  # the store is gone, or not written yet
            return not os.path.isdir(self._networks.path("live"))
        return time.time() - since > _IDLE and not _survivors(self._networks)

    def _end(self) -> bool:
        """Under the lock, so that nobody begins to rely on it; whether it may end now."""
        if not os.path.isdir(self._networks.folder):
            return True
        with self._networks.locked():
            if not self._is_idle():
                return False
            os.unlink(self._networks.path("live", _RECORD))
        return True


def _network() -> tuple[int, list[int]]:
    """A new network namespace with rules and no bridges: its descriptor, and the sockets in it."""
    import _socket
    from array import array

    from rootless.network.resolver import listen

    here, there = _socket.socketpair()

    def make(_: process.Send) -> None:
        linux.unshare(linux.CLONE_NEWNET)
        linux.loopback_up()
        _set_sysctls()
        _install_rules()
        sockets = listen()
        fds = [os.open("/proc/self/ns/net", os.O_RDONLY), *(one.fileno() for one in sockets)]
        there.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", fds))])

    child = process.fork(make, "the network's maker")
    there.close()
    try:
        child.result()
        _, ancillary, _, _ = here.recvmsg(1, _socket.CMSG_SPACE(64), _socket.MSG_CMSG_CLOEXEC)
    finally:
        child.kill()
        here.close()
    fds = array("i", ancillary[0][2])
    return fds[0], [*fds[1:]]


def _set_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        try:
            fd = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # a kernel without IPv6, or without such a filter
            continue
        except OSError as error:
            from rootless import complaints

            raise RootlessError(
                f"networks need /proc/sys/net, which cannot be written here ({error.strerror}): "
                "this is probably a container itself",
                hint=f"use --network host, or {complaints.UNMASKED}",
            ) from None
        try:
            os.write(fd, value)
        finally:
            os.close(fd)


def _install_rules() -> None:
    from rootless.network import nftables

    try:
        nftables.install(_WAY_OUT)
    except OSError as error:
        raise RootlessError(
            f"networks need nftables, which this kernel does not give: {error}",
            hint="load the modules nf_tables, nft_masq and nft_ct, or use --network pasta or host",
        ) from None
