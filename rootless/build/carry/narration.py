"""How a build tells of its steps: their numbers, and the place in the Dockerfile of an error."""

from __future__ import annotations

from errno import EMFILE, ENFILE

from rootless.build.request import Failed, Step
from rootless.dockerfile import DockerfileError
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.carry.graph import Graph, Node
    from rootless.build.request import Report
    from rootless.dockerfile import Dockerfile

_LIMITS = (EMFILE, ENFILE)


class Narrator:
    """Knows every node of a build by the number that people see."""

    def __init__(self, graph: Graph, dockerfile: Dockerfile) -> None:
        self._dockerfile = dockerfile
        self._has_stages = len(graph.ends) > 1
        self._numbers = {node: number for number, node in enumerate(graph.shown, 1)}

    def event(self, node: Node) -> Step:
        """How people see a step."""
        stage, steps = node.recipe.stage, node.recipe.steps
        title = stage.title if self._has_stages else stage.name
        places = len(steps) + node.recipe.has_image
        text = node.step.text if node.step else f"FROM {stage.base}"
        number = self._numbers[node]
        return Step(number, len(self._numbers), title, node.place, places, text)

    def located(self, node: Node, report: Report) -> Located:
        """While a step is carried out."""
        return Located(self, node, report)

    def failed(self, node: Node, error: RootlessError | OSError, report: Report) -> None:
        """Tell of a step that fails, and raise its error with the place in the Dockerfile."""
        message = error.message if isinstance(error, RootlessError) else str(error)
        report(Failed(self.event(node), message))
        if isinstance(error, DockerfileError) or node.step is None:
            return
        if isinstance(error, OSError) and error.errno in _LIMITS:
            return  # the line is not at fault, and there is no descriptor left to find words with
        hint = error.hint if isinstance(error, RootlessError) else None
        told = node.step.complaint(message)
        raise self._dockerfile.error(told, node.step.location, hint) from error


class Located:
    """Tells of a step that fails, and gives its error the place in the Dockerfile."""

    def __init__(self, narrator: Narrator, node: Node, report: Report) -> None:
        self._narrator = narrator
        self._node = node
        self._report = report

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, RootlessError | OSError) and not isinstance(error, BrokenPipeError):
            self._narrator.failed(self._node, error, self._report)
