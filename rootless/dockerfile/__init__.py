"""The Dockerfile language: text in, typed instructions out. Pure: no files, no environment.

parser.parse        bytes → Dockerfile: typed instructions, each with its location and text
parser.parse_trigger  the text of an ONBUILD trigger → its instruction
expand.*            variables and quotes in operands, when the build knows the values
ignore.Ignore       .dockerignore, and the patterns of --exclude
patterns            the wildcards of these and of COPY, matched in bounded time
lint                what is rarely meant: BuildKit's checks
errors              DockerfileError: file, line, column, and the lines marked with `>>>`

The reference is BuildKit's frontend: its documentation, and its test tables where those differ.
Imports nothing but `errors`, `record`, `leanjson`, `nearest` and `oci`.
"""

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import Dockerfile, Instruction
from rootless.dockerfile.parser import parse, parse_trigger

__all__ = ["Dockerfile", "DockerfileError", "Instruction", "parse", "parse_trigger"]
