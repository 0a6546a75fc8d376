"""Our lexer beside BuildKit's parser, on BuildKit's own cases."""

import pytest

from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.lexer import lex
from tests.unit.dockerfile.shared import BUILDKIT, folders, needs_shared
from tests.unit.dockerfile.tree import printed

pytestmark = needs_shared


@pytest.mark.parametrize("case", folders(BUILDKIT / "parser/testfiles"), ids=lambda case: case.name)
def test_the_tree_is_buildkits(case):
    lexed = lex((case / "Dockerfile").read_bytes())
    tree = "\n".join(printed(line, lexed.escape) for line in lexed.lines)
    assert tree == (case / "result").read_text("utf-8").strip()


@pytest.mark.parametrize(
    "case", folders(BUILDKIT / "parser/testfiles-negative"), ids=lambda case: case.name
)
def test_what_buildkit_refuses_is_refused(case):
    with pytest.raises(DockerfileError) as caught:
        parse((case / "Dockerfile").read_bytes())
    if case.name not in ("empty_dockerfile", "only_comments"):  # which have no line to blame
        assert (caught.value.line, caught.value.column) > (0, 0)


@pytest.mark.parametrize("case", folders(BUILDKIT / "parser/testfiles"), ids=lambda case: case.name)
def test_what_is_refused_has_a_place(case):
    """These are cases for BuildKit's lexer, and not all of them are whole Dockerfiles."""
    try:
        parse((case / "Dockerfile").read_bytes())
    except DockerfileError as error:
        assert error.line
        assert error.column


def test_line_numbers():
    lexed = lex((BUILDKIT / "parser/testfile-line/Dockerfile").read_bytes())
    places = [(one.location.start_line, one.location.end_line) for one in lexed.lines]
    assert places == [(5, 5), (11, 12), (17, 31)]
