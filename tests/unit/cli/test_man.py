"""Manual pages: one for each verb, complete, and without complaints from groff."""

import shutil
import subprocess

import pytest

from rootless.cli import man, table

PAGES = man.pages()


@pytest.mark.parametrize("verb", list(table.every()), ids=lambda verb: verb.name)
def test_a_page_has_every_flag_and_example(verb):
    page = PAGES[f"{man.page_name(verb)}.1"]
    for option in verb.options:
        for name in option.names:
            assert name.replace("-", "\\-") in page
    for example in verb.examples:
        assert example.replace("-", "\\-") in page.replace("\\e", "\\")


def test_the_first_page_names_all_others():
    for name in PAGES:
        if name != "rootless.1":
            assert name.removesuffix(".1").replace("-", "\\-") in PAGES["rootless.1"]


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_complaint(name):
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww"], input=PAGES[name].encode(), capture_output=True,
        check=True,
    )  # fmt: skip
    assert done.stderr == b""


def test_text_is_safe_from_roff():
    assert man._escape(".hidden") == "\\&.hidden"
    assert man._escape("a\\b --c") == "a\\eb \\-\\-c"
