"""What must not stand in a line as it is?

Ollama's SDK cuts a stream where Python's `str.splitlines` does, which is at three characters that JSON lets stand.
Ollama itself escapes two of them, as all of Go does: https://pkg.go.dev/encoding/json#Marshal.
"""

_BREAKS = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\x85\u2028\u2029"}


def one_line(line: bytes) -> bytes:
    """JSON that no reader takes for two lines."""
    if line.isascii():
        return line
    for char, escape in _BREAKS.items():
        line = line.replace(char, escape)
    return line
