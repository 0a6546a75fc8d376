"""Handing over what a build made: `outputs` carried out, and what is written about them.

Made, and the logins read, before the user namespace is entered; `deliver` runs in the builder's
process, where no thread runs, and enters the namespace where something must be read there.
"""

from __future__ import annotations

import os
import sys

from rootless.build.export import image, local, oci, tar
from rootless.build.export.trees import Tree
from rootless.cli import fetch, files, outputs, progress
from rootless.cli.outputs import DOCKER, IMAGE, LOCAL, NOTHING, OCI, TAR
from rootless.cli.progress.output import Given
from rootless.errors import UsageError
from rootless.image import push as pushing
from rootless.image import save
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from rootless.archive import Put
    from rootless.build.request import Form
    from rootless.cli.outputs import Output
    from rootless.cli.parser import Arguments
    from rootless.cli.progress import BuildDisplay
    from rootless.cli.settings import Settings
    from rootless.image.transport import Report
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.push import Uploads
    from rootless.store import Store
    from rootless.store.images import Image


class Built(Record):
    """What a build made: an image for each platform, and `top`, which is the only one or a list."""

    top: Image
    images: tuple[Image, ...]

    @property
    def is_list(self) -> bool:
        """Whether `top` is a list."""
        return image.is_list(self.top)


class Delivery:
    """The outputs of one build: `wanted.Wanted`."""

    def __init__(
        self,
        given: Settings,
        arguments: Arguments,
        form: Form,
        platforms: Sequence[Platform],
        epoch: int | None,
    ) -> None:
        """Reads the logins of registries; UsageError where a push has no name."""
        self._given = given
        self._arguments = arguments
        self._form = form
        found = outputs.parse(arguments)
        self._outputs = tuple(one if one.names else one.replace(names=form.tags) for one in found)
        self._is_list = len(platforms) > 1
        self._epoch = epoch
        texts = [text for output in found for text in output.annotations]
        self._annotations = outputs.parse_annotations([*texts, *arguments.annotation])
        self._pushed: Descriptor | None = None
        self._lines: list[str] = []
        self._uploads: dict[Reference, Uploads] = {}
        self._check()
        for output in self._outputs:
            if output.push:
                self._prepare(output)

    def _check(self) -> None:
        """Refuse what cannot be made of one image, or of several."""
        if not self._is_list and (self._annotations.index or self._annotations.index_descriptor):
            raise UsageError(
                "index annotations not supported for single platform export",
                hint="an index is made of several platforms: --platform linux/amd64,linux/arm64",
            )
        if self._is_list and any(one.kind == DOCKER and one.path for one in self._outputs):
            raise UsageError(
                "docker exporter does not support exporting manifest lists, "
                "use the oci exporter instead",
                hint="write type=oci, or build for one platform",
            )
        if self._is_list and any(one.is_tree and one.split is False for one in self._outputs):
            raise UsageError(
                "platform-split=false is for one platform",
                hint="leave it out: each platform gets a folder of its own",
            )

    def form(self, platform: Platform) -> Form:
        """As `wanted.Wanted`; the images of a list are listed by that alone."""
        return self._form.replace(
            tags=() if self._is_list else self.names,
            annotations=self._annotations.on("manifest", platform),
            is_listed=self.is_in_store and not self._is_list,
        )

    @property
    def names(self) -> tuple[Reference, ...]:
        """What the image is to be called in the store."""
        return tuple(
            dict.fromkeys(
                name
                for output in self._outputs
                if output.is_in_store and not output.by_digest
                for name in output.names
            )
        )

    @property
    def is_in_store(self) -> bool:
        """Whether the image is to be listed there."""
        return any(output.is_in_store and not output.by_digest for output in self._outputs)

    def _prepare(self, output: Output) -> None:
        if not output.names:
            raise UsageError(
                "tag is needed when pushing to registry", hint="name the image: -t NAME[:TAG]"
            )
        for name in output.names:
            self._uploads[name] = fetch.destination(
                self._given,
                name,
                tls_verify=self._arguments.tls_verify,
                cert_dir=self._arguments.cert_dir,
            )

    def deliver(
        self,
        store: Store,
        built: Sequence[Image],
        enter: Callable[[], object],
        display: BuildDisplay,
    ) -> None:
        """As `wanted.Wanted`: all outputs in their order, then the files that tell of them."""
        made = Built(self._top(store, built), tuple(built))
        work = {LOCAL: self._local, TAR: self._tar, OCI: self._oci, DOCKER: self._docker}
        for output in self._outputs:
            if output.push:
                self._push(store, made, output, enter)
            elif output.kind in work and not output.is_in_store:
                enter()
                work[output.kind](store, made, output)
        self._write_files(made)
        self._tell(made, display)

    def _top(self, store: Store, built: Sequence[Image]) -> Image:
        if not self._is_list:
            return built[0]
        described = [
            self._annotations.on("manifest-descriptor", one.config.platform) for one in built
        ]
        form = self._form.replace(
            tags=self.names, annotations=self._annotations.index, is_listed=self.is_in_store
        )
        return image.index(store, built, form, described, self._epoch)

    def _local(self, store: Store, built: Built, output: Output) -> None:
        self._lines.append(f"copying files to {output.path}")
        local.write(store, Tree.each(built.images, split=output.split), output.path, self._epoch)

    def _tar(self, store: Store, built: Built, output: Output) -> None:
        self._lines.append("sending tarball")
        trees = Tree.each(built.images, split=output.split)
        self._stream(output, lambda put: tar.write(store, trees, put, self._epoch))

    def _oci(self, store: Store, built: Built, output: Output) -> None:
        with self._show() as report:
            named = self._named(store, built, output, report)
        if output.is_layout:
            oci.write_layout(store, named, output.path)
        else:
            self._stream(output, lambda put: oci.write(store, named, put, save.OCI_ARCHIVE))

    def _docker(self, store: Store, built: Built, output: Output) -> None:
        with self._show() as report:
            named = self._named(store, built, output, report)
        self._stream(output, lambda put: oci.write(store, named, put, save.DOCKER_ARCHIVE))

    def _named(self, store: Store, built: Built, output: Output, report: Report) -> oci.Named:
        """The image as it goes into an archive: packed, unless it is to be plain."""
        packed = built.top
        if not output.is_plain:
            packed = pushing.repack(store, packed, self._wishes(output), _packing(report))
        self._pushed = packed.descriptor
        self._lines.append(f"exporting manifest {packed.descriptor.digest}")
        return oci.Named(packed, output.names, self._entry_annotations(built))

    def _entry_annotations(self, built: Built) -> Mapping[str, str]:
        if built.is_list:
            return self._annotations.index_descriptor
        return self._annotations.on("manifest-descriptor", built.top.config.platform)

    def _wishes(self, output: Output, enter: Callable[[], object] = lambda: None) -> pushing.Wishes:
        twins: dict[bool | None, Mapping[str, str]] = {
            None: {},
            True: media_types.DOCKER_TWINS,
            False: media_types.OCI_TWINS,
        }
        return pushing.Wishes(
            enter,
            output.compression,
            None,
            twins[output.is_docker],
            force=output.force,
            by_digest=output.by_digest,
        )

    def _stream(self, output: Output, write: Callable[[Put], object]) -> None:
        path = output.path
        files.stream(path if path == "-" else os.path.realpath(path), write)

    def _push(
        self, store: Store, built: Built, output: Output, enter: Callable[[], object]
    ) -> None:
        for name in output.names:
            wishes = self._wishes(output, enter)
            with self._show() as report:
                document = pushing.push(store, built.top, name, self._uploads[name], wishes, report)
            self._pushed = Descriptor.of(document.content, document.media_type)
            self._lines.append(f"{name}: digest: {document.digest} size: {len(document.content)}")

    def _show(self) -> progress.TransferDisplay:
        """Standard output may be what is given."""
        is_silent = self._arguments.quiet or self._arguments.progress in (
            "quiet",
            "none",
            "rawjson",
        )
        return progress.pushing(self._given, sys.stderr, quiet=is_silent)

    def _write_files(self, built: Built) -> None:
        if path := self._arguments.iidfile:
            with files.replacing(path) as fd:
                files.write_all(fd, str(identity(built)).encode(), path)
        if path := self._arguments.metadata_file:
            import json

            content = json.dumps(self._metadata(built), indent=2, sort_keys=True).encode()
            if path == "-":
                files.write_all(1, content + b"\n", "standard output")
                return
            with files.replacing(path) as fd:
                files.write_all(fd, content, path)

    def _metadata(self, built: Built) -> dict[str, Any]:
        """Docker's words for what came out; nothing where that are files only."""
        wanted = [one for one in self._outputs if one.kind in (IMAGE, OCI, DOCKER)]
        if not wanted:
            return {}
        top = self._pushed or built.top.descriptor
        described = top.replace(annotations=self._entry_annotations(built))
        found: dict[str, Any] = {"containerimage.digest": str(top.digest)}
        if not built.is_list:
            found["containerimage.config.digest"] = str(built.top.id)
            described = described.replace(platform=built.top.config.platform)
        found["containerimage.descriptor"] = described.encode()
        names = dict.fromkeys(str(name) for output in wanted for name in output.names)
        if names:
            found["image.name"] = ",".join(names)
        return found

    def _tell(self, built: Built, display: BuildDisplay) -> None:
        """With -q the id is printed, where standard output is not taken."""
        is_taken = self._arguments.metadata_file == "-" or any(
            output.path == "-" for output in self._outputs
        )
        has_image = not all(output.is_tree or output.kind == NOTHING for output in self._outputs)
        name = str(identity(built))
        if self.is_in_store:
            self._lines += [f"writing image {name}", *(f"naming to {one}" for one in self.names)]
        shown = name if has_image and not is_taken else ""
        display.exported(Given(self._lines, shown, self._title()))

    def _title(self) -> str:
        """As BuildKit calls it."""
        titles = {
            LOCAL: "exporting to client directory",
            TAR: "exporting to client tarball",
            OCI: "exporting to oci image format",
            DOCKER: "exporting to docker image format",
        }
        first = self._outputs[0]
        return "exporting to image" if first.is_in_store else titles.get(first.kind, "finishing")


def _packing(report: Report) -> Report:
    """A `report` of what is being packed; what was before is nothing new."""
    return lambda event: event.state == "exists" or report(event)


def identity(built: Built) -> object:
    """What an image is called by: its config's digest, or a list's own."""
    return built.top.descriptor.digest if built.is_list else built.top.id
