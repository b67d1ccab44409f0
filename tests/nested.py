"""Where does each value stand in a JSON document, and what is the document with another in its place?"""

from typing import Any

TOO_DEEP = 300_000  # levels: no reader here comes to the last, on any Python (3.14's read some 100,000)

Path = tuple[Any, ...]  # keys and indices, from the outside in


def places(value: Any, path: Path = ()) -> list[Path]:
    """Of all there is, the document itself among them."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def put(value: Any, path: Path, item: Any) -> Any:
    """A copy of the document with the item at that place."""
    if not path:
        return item
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], item)
    return copy


def without_nulls(value: Any) -> Any:
    """A null that stands for an absent field is forgotten everywhere."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
