"""A lexed line printed as BuildKit's parser prints its tree."""

from rootless.dockerfile.lexer import (
    LogicalLine,
    json_array,
    lex_original,
    split_blanks,
    split_keyword,
    split_quoted,
)

LISTS = ("COPY", "ADD", "VOLUME", "FROM", "EXPOSE")
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
           "\t": "\\t", "\0": "\\x00"}  # fmt: skip


def quoted(text: str) -> str:
    """As Go's strconv.Quote has it, for what the cases contain."""
    return '"' + "".join(ESCAPES.get(one, one) for one in text) + '"'


def operands(line: LogicalLine, escape: str) -> list[str]:
    """The nodes after an instruction in BuildKit's tree."""
    text = line.operands
    if line.keyword == "ONBUILD":
        return [printed(lex_original(text), escape)]
    if line.keyword in ("ENV", "LABEL"):
        pairs = split_quoted(text, escape)
        if "=" not in pairs[0]:
            name = split_blanks(text)[0]
            return [quoted(name), quoted(text[len(name) :].strip()), '""']
        split = [pair.partition("=") for pair in pairs]
        return [quoted(part) for name, sign, value in split for part in (name, value, sign)]
    if line.keyword == "ARG":
        return list(map(quoted, split_quoted(text, escape)))
    words = []
    if line.keyword == "HEALTHCHECK":
        kind, text = split_keyword(text)
        words = [kind] if kind else []
    array = json_array(text)
    if array is None:
        array = split_blanks(text) if line.keyword in LISTS else (text,) if text else ()
    return list(map(quoted, [*words, *array]))


def printed(line: LogicalLine, escape: str) -> str:
    flags = ["[" + " ".join(map(quoted, line.flags)) + "]"] if line.flags else []
    return "(" + " ".join([line.keyword.lower(), *flags, *operands(line, escape)]) + ")"
