"""BuildKit's checks of a Dockerfile, asked about a plan: what a build warns of. Pure.

`dockerfile.lint` has the rules; here they are told what the stages are built on.
"""

from __future__ import annotations

from rootless.dockerfile.lint import Asked, Options, check
from rootless.oci.config import ImageConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.plan.stages import Plan, Stage
    from rootless.dockerfile.ignore import Ignore
    from rootless.dockerfile.lint import Finding


def find(
    plan: Plan,
    options: Options,
    ignore: bytes,
    config: Callable[[Stage], ImageConfig | None],
    needs: Callable[[int], bool],
) -> list[Finding]:
    """The findings about a Dockerfile of which stage N `needs` looking at or not.

    `config` gives that of the image a stage is built on; None where it cannot be had.
    """

    def base(number: int) -> int | ImageConfig | None:
        stage = plan.stages[number]
        if isinstance(stage.base, int):
            is_context = stage.base < 0
            return ImageConfig(stage.platform) if is_context else stage.base
        return config(stage) if stage.base else ImageConfig(stage.platform)

    asked = Asked(
        base=base,
        needs=needs,
        platform=lambda number: plan.stages[number].platform,
        build_args=plan.build_args,
        arguments=plan.predefined,
        ignore=_ignore(ignore) if options.experimental else None,
    )
    return check(plan.dockerfile, asked, options)


def _ignore(content: bytes) -> Ignore | None:
    from rootless.dockerfile import ignore

    return ignore.Ignore.parse(content) if content.strip() else None
