"""Which characters must be escaped within a line?

Ollama's SDK splits a stream as Python's `str.splitlines` does, also at three characters that JSON does not escape.
Ollama itself escapes two of them, as all of Go does: https://pkg.go.dev/encoding/json#Marshal.
"""

_BREAKS = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\x85\u2028\u2029"}


def one_line(line: bytes) -> bytes:
    """The same JSON, which no reader splits into two lines."""
    if line.isascii():
        return line
    for char, escape in _BREAKS.items():
        line = line.replace(char, escape)
    return line
