"""Logins asked for when this process is in its user namespace already.

A base that has just been pulled may have ONBUILD triggers that copy from images nobody knew of
before. So a process is forked that stays outside: credential helpers run there, as the user they
know, with their keyring. It ends with the command and leaves nothing behind.
"""

from __future__ import annotations

import os

from rootless import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.fetch import Find
    from rootless.registry.credentials import Credentials


class Logins:
    """The process outside; make it before the namespace is entered."""

    def __init__(self, find: Find) -> None:
        """`find` is called there."""
        requests, self._request_fd = process.pipe()

        def body(send: process.Send) -> None:
            os.close(self._request_fd)
            while request := process.read_frame(requests):
                login = find(*request[1])
                send([login.username, login.password, login.identity_token] if login else None)

        try:
            self._child = process.fork(body, "the process that finds logins")
        finally:
            os.close(requests)

    def find(self, registry: str, repository: str) -> Credentials | None:
        """What `auth.find` says out there; its error is raised here."""
        from rootless.registry.credentials import Credentials

        process.write_frame(self._request_fd, "event", [registry, repository])
        login = self._child.receive().value
        return Credentials(*login) if login else None
