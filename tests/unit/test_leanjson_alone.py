"""Damaged JSON in a process that has not imported `json`: pytest itself always has."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from rootless import leanjson
from rootless.errors import IntegrityError
assert "json" not in sys.modules
try:
    leanjson.loads(sys.argv[1])
except IntegrityError as error:
    print(error)
"""


@pytest.mark.parametrize("text", ['["a"', '["', '["\\x"]', "[", "", '{"a" 1}', '["a"]x', "NaN"])
def test_it_is_an_integrity_error(text):
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, text], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("JSON is damaged")
