"""Files on the web for a build: through the user's proxies, with what the system trusts.

What speaks HTTP is imported when something is fetched: most builds fetch nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.settings import Settings
    from rootless.registry.download import Download
    from rootless.registry.http import Access

_INSTEAD = "fetch it with another program, and build with what came"


class Web:
    """See `build.inputs.url.Web`."""

    def __init__(self, given: Settings) -> None:
        self._given = given

    def etag(self, url: str, known: str) -> str:
        """The ETag of the file now, "" when that is not told."""
        from rootless.registry import download

        return download.etag(download.parse(url, _INSTEAD), self._access(), known)

    def get(self, url: str) -> Download:
        """The file at a URL."""
        from rootless.registry import download

        return download.Download(download.parse(url, _INSTEAD), self._access(), _INSTEAD)

    def _access(self) -> Access:
        from rootless import __version__
        from rootless.registry.http import Access

        return Access(proxies=self._given.proxies, user_agent=f"rootless/{__version__}")
