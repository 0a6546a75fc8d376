"""Files on the web for a build: through the user's proxies, with what the system trusts.

What speaks HTTP is imported when something is fetched: most builds fetch nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.settings import Settings
    from rootless.registry.download import Download
    from rootless.registry.http import Access
    from rootless.registry.url import Url

_INSTEAD = "fetch it with another program, and build with what came"


class Web:
    """See `build.inputs.url.Web`."""

    def __init__(self, given: Settings, secrets: Mapping[str, bytes] = {}) -> None:
        """`secrets` may be logins, by BuildKit's names: HTTP_AUTH_TOKEN_HOST is a token for HOST,
        HTTP_AUTH_HEADER_HOST all that Authorization says to it.
        """
        self._given = given
        self._secrets = secrets

    def etag(self, url: str, known: str) -> str:
        """The ETag of the file now, "" when that is not told."""
        from rootless.registry import download

        parsed = download.parse(url, _INSTEAD)
        return download.etag(parsed, self._access(), known, self._login(parsed))

    def get(self, url: str) -> Download:
        """The file at a URL."""
        from rootless.registry import download

        parsed = download.parse(url, _INSTEAD)
        return download.Download(parsed, self._access(), _INSTEAD, self._login(parsed))

    def _login(self, url: Url) -> str:
        header = self._secrets.get(f"HTTP_AUTH_HEADER_{url.host}")
        token = self._secrets.get(f"HTTP_AUTH_TOKEN_{url.host}")
        if header is None and token is not None:
            header = b"Bearer " + token
        return (header or b"").decode("latin-1").strip()

    def _access(self) -> Access:
        from rootless import __version__
        from rootless.registry.http import Access

        return Access(proxies=self._given.proxies, user_agent=f"rootless/{__version__}")
