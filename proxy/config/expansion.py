"""What do `${NAME}`, `${NAME:-default}` and `${file:/path}` stand for?

Expanded after parsing and only in values, so the contents of a variable or a file are never read as YAML. `$${` is a
plain `${`. A value that is one reference and nothing else gets the type that the schema wants there; if it refers to a
file, it is read again when the file changes. A key of which nothing is left counts as unset.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from proxy.config.secret import secret_text, why_unreadable
from proxy.config.values import Keys, Mistakes, Node, Origin, Scalar, Series, Table

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?|file:(?P<file>/[^}]+))\}|(?P<odd>\$\{)"
)


# Without these everybody may come in, or do as much as they like: whoever leaves one empty must be told.
GUARDS = frozenset({"client_key", "keys", "jwt", "limits", "budgets", "overload"})


class Expansion:
    def __init__(self, environ: Mapping[str, str], mistakes: Mistakes) -> None:
        self._environ = environ
        self._mistakes = mistakes

    def of(self, node: Node, keys: Keys = ()) -> Node:
        match node:
            case Table():
                entries = {key: self.of(item, (*keys, key)) for key, item in node.entries.items()}
                if keys[:1] and keys[0] in GUARDS:
                    return node._replace(entries=entries)
                unset = {key: item if key in GUARDS else _or_unset(item) for key, item in entries.items()}
                return node._replace(entries=unset)
            case Series():
                items = enumerate(node.items)
                return node._replace(items=tuple(self.of(item, (*keys, f"[{n}]")) for n, item in items))
            case Scalar():
                return self._scalar(node, keys) if node.kind == "text" and "${" in node.text else node

    def _scalar(self, node: Scalar, keys: Keys) -> Scalar:
        try:
            text = _REFERENCE.sub(self._value, node.text)
        except LookupError as error:
            self._mistakes.add(node.origin, keys, str(error.args[0]))
            return node._replace(text="", kind="null")
        whole = _REFERENCE.fullmatch(node.text)
        if whole is None or whole[0] == "$${":
            return node._replace(text=text, hidden=True)
        file = Path(whole["file"]) if whole["file"] else None
        return Scalar(text, "given", node.origin._replace(file=file), hidden=True)

    def _value(self, found: re.Match[str]) -> str:
        """What a reference stands for. Raises LookupError, whose message says why not."""
        if found[0] == "$${":
            return "${"
        if found["odd"] or "${" in (found["default"] or ""):
            raise LookupError("${ must begin ${NAME}, ${NAME:-default} or ${file:/path}: write $${ for a literal ${")
        if found["file"]:
            return _file(Path(found["file"]))
        value = self._environ.get(found["name"])
        if found["default"] is not None:
            return value or found["default"].removeprefix(":-")
        if value is None:
            raise LookupError(f"${{{found['name']}}} is not set in the environment, and has no default")
        return value


def _or_unset(node: Node) -> Node:
    """A key counts as unset if its variables hold nothing. Not if a file holds nothing, since it may yet be written."""
    match node:
        case Scalar(kind="text" | "given", hidden=True, origin=Origin(file=None)) if not node.text.strip():
            return node._replace(text="", kind="null")
    return node


def _file(path: Path) -> str:
    try:
        return secret_text(path)
    except (OSError, ValueError) as error:
        raise LookupError(f"${{file:{path}}}: {why_unreadable(error)}") from None
