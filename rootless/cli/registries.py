"""`login` and `logout`.

A password is asked for without an echo, or read from standard input. It is in no message, no log
and no command line that we write; the one that the user writes with -p is warned of.
"""

from __future__ import annotations

import os
import sys

from rootless.cli import words
from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import DOCKER_HUB, parse_registry
from rootless.registry import auth
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_MAX_PASSWORD = 16 << 10
_HUB_WELCOME = """\
Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't \
have a Docker ID, head over to https://hub.docker.com/ to create one.
You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT \
grants better security and is required for organizations using SSO. Learn more at \
https://docs.docker.com/go/access-tokens/
"""
_ANOTHER = """
 Info -> To login with a different account, run 'rootless logout' followed by 'rootless login'

"""
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def login(given: Settings, arguments: Arguments) -> int:
    """Show a login to the registry, and keep it if it is good."""
    registry = parse_registry(arguments.server or DOCKER_HUB)
    path = _file(given, arguments)
    if arguments.get_login:
        paths, inline = ((path,), "") if arguments.authfile else (given.auth_files, given.auth_text)
        return _get_login(auth.find(paths, registry, inline=inline), registry)
    password = _password(arguments)
    stored = None
    if arguments.username is None and not password:
        stored = _stored(path, registry)
        if stored and _try_stored(given, arguments, registry, stored):
            print("Login Succeeded")
            return 0
    offered = _ask(arguments, registry, password, stored.username if stored else "")
    good = _verified(given, arguments, registry, offered)
    if auth.keep(path, registry, good):
        print(_UNENCRYPTED.format(words.escape(path)), file=sys.stderr)
    print("Login Succeeded")
    return 0


def logout(given: Settings, arguments: Arguments) -> int:
    """Forget the login for a registry; there may be none."""
    registry = parse_registry(arguments.server or DOCKER_HUB)
    path = _file(given, arguments)
    print(f"Removing login credentials for {auth.key(registry)}")
    auth.forget(path, registry)
    for other in () if arguments.authfile else given.auth_files[1:]:
        if auth.find((other,), registry):
            print(
                f"note: {words.escape(other)} has a login for {registry} too, which is used now;"
                f" rootless logout --authfile {words.escape(other)} {registry} removes it",
                file=sys.stderr,
            )
    return 0


def _file(given: Settings, arguments: Arguments) -> str:
    """The file that a login is kept in."""
    if arguments.authfile:
        return os.path.abspath(str(arguments.authfile))
    if not given.auth_files:
        raise UsageError(
            "there is no place for logins: HOME is not set",
            hint="set HOME or DOCKER_CONFIG, or name a file with --authfile",
        )
    return given.auth_files[0]


def _get_login(login: Credentials | None, registry: str) -> int:
    if login is None:
        raise RootlessError(f"not logged in to {registry}", hint=f"rootless login {registry}")
    print(words.escape(login.username))
    return 0


def _password(arguments: Arguments) -> str:
    """What -p or standard input gives, "" for neither; docker's words for what does not fit."""
    if arguments.password is not None and arguments.password_stdin:
        raise UsageError("conflicting options: cannot specify both --password and --password-stdin")
    if arguments.username is not None and not arguments.username.strip():
        raise UsageError("username is empty")
    if arguments.password is not None:
        if not arguments.password.strip():
            raise UsageError("password is empty")
        print(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            file=sys.stderr,
        )
        return _text(arguments.password)
    if not arguments.password_stdin:
        return ""
    if arguments.username is None:
        raise UsageError("the --password-stdin option requires --username to be set")
    content: bytes = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    if len(content) > _MAX_PASSWORD:
        raise UsageError(f"standard input is longer than {_MAX_PASSWORD >> 10} KiB: no password is")
    return content.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")


def _stored(path: str, registry: str) -> Credentials | None:
    """The login there is; one that cannot be read is about to be replaced."""
    try:
        return auth.find((path,), registry)
    except RegistryError as error:
        print(f"warning: {words.escape(error.message)}", file=sys.stderr)
        return None


def _try_stored(given: Settings, arguments: Arguments, registry: str, stored: Credentials) -> bool:
    """Whether the login that is kept is still good; it stays as it is."""
    user = f" [Username: {words.escape(stored.username)}]" if stored.username else ""
    print(f"Authenticating with existing credentials...{user}")
    print(_ANOTHER)
    try:
        _verified(given, arguments, registry, stored)
    except RegistryError as error:
        message = words.escape(error.message, lines=True)
        print(f"Login did not succeed, error: {message}", file=sys.stderr)
        return False
    return True


def _ask(arguments: Arguments, registry: str, password: str, default: str) -> Credentials:
    """The login to try; what no flag gives is asked for on the terminal."""
    if not password and not os.isatty(0):
        raise UsageError(
            "Cannot perform an interactive login from a non TTY device",
            hint="rootless login -u NAME --password-stdin <FILE",
        )
    user = (arguments.username or "").strip()
    if not user:
        if registry == DOCKER_HUB:
            print(_HUB_WELCOME)
        shown = f" ({words.escape(default)})" if default else ""
        user = _line(f"Username{shown}: ").strip() or default
    if not user:
        raise UsageError("username is empty")
    if not password:
        password = _hidden_line("Password: ")
    if not password:
        raise UsageError("password is empty")
    if ":" in user:
        raise UsageError("a user name cannot have a colon in it")
    return Credentials(_text(user), _text(password))


def _verified(
    given: Settings, arguments: Arguments, registry: str, offered: Credentials
) -> Credentials:
    """The login to keep, which the registry has accepted: its own token takes the password's place.

    RegistryError where it has not.
    """
    from rootless.cli import fetch

    session = fetch.session(
        given, registry, offered, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    token = session.log_in()
    return Credentials(offered.username, "", token) if token else offered


def _text(secret: str) -> str:
    """The same, if it can be sent: text without the bytes that are none."""
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise UsageError("user name and password must be UTF-8") from None
    return secret


def _line(prompt: str) -> str:
    print(prompt, end="", flush=True)
    return sys.stdin.readline(_MAX_PASSWORD).rstrip("\r\n")


def _hidden_line(prompt: str) -> str:
    """A line that the terminal does not show while it is typed."""
    import termios

    before = termios.tcgetattr(0)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(0, termios.TCSADRAIN, silent)
        return _line(prompt)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        print()
