"""Our own cases of what BuildKit's parser and patternmatcher do, read from tests/corpus.

The public tables of both say the same and more where they lie beside the checkout
(test_buildkit, test_ignore); these are here in any clone.
"""

from pathlib import Path

import pytest

from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.lexer import lex
from tests.unit.dockerfile.tree import printed

CORPUS = Path(__file__).parents[2] / "corpus"
READ = sorted((CORPUS / "parser").glob("*.dockerfile"))
REFUSED = sorted((CORPUS / "parser/refused").glob("*.dockerfile"))
IGNORE = [
    line.split("\t")
    for line in (CORPUS / "ignore.tsv").read_text("utf-8").splitlines()
    if not line.startswith("# ")
]


def test_the_corpus_is_there():
    assert len(READ) > 20
    assert len(REFUSED) > 20
    assert len(IGNORE) > 60


@pytest.mark.parametrize("case", READ, ids=lambda case: case.stem)
def test_a_dockerfile_is_read_as_buildkit_reads_it(case):
    lexed = lex(case.read_bytes())
    tree = [printed(line, lexed.escape) for line in lexed.lines]
    assert tree == case.with_suffix(".tree").read_text("utf-8").splitlines()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.stem)
def test_what_is_no_dockerfile_is_refused(case):
    with pytest.raises(DockerfileError):
        parse(case.read_bytes())


@pytest.mark.parametrize(("patterns", "path", "excluded"), IGNORE)
def test_a_pattern_excludes_what_docker_excludes(patterns, path, excluded):
    assert Ignore.of(patterns.split(" ")).excludes(path) == (excluded == "yes")
