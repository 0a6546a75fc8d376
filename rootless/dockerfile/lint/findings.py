"""What the checks are asked, and what they answer."""

from __future__ import annotations

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.dockerfile.errors import Location
    from rootless.dockerfile.ignore import Ignore
    from rootless.oci.config import ImageConfig
    from rootless.oci.platform import Platform


class Finding(Record):
    """`rule` is its name, `detail` one sentence without a full stop, as docker has both."""

    rule: str
    detail: str
    location: Location


class Asked(Record):
    """What a check has to know beside the Dockerfile.

    `base` gives what stage number N is built on: the number of a stage, the config of an image,
    or None where nobody knows; it is not asked about stages that `needs` says no to. `platform`
    is the one that the stage is to be for, None where that is of no interest. `arguments`
    are the ARGs that every build knows, like TARGETPLATFORM.
    """

    base: Callable[[int], int | ImageConfig | None]
    needs: Callable[[int], bool] = lambda _number: True
    platform: Callable[[int], Platform | None] = lambda _number: None
    build_args: Mapping[str, str] = {}
    arguments: Mapping[str, str] = {}
    ignore: Ignore | None = None
