"""What does a list of models tell, in the shape that most providers give it, and what if there is none?"""

import msgspec

from proxy.errors import UpstreamError


class _Named(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Named]


def ids(body: bytes) -> list[str]:
    """Those of its models. Raises msgspec.DecodeError."""
    return [row.id for row in msgspec.json.decode(body, type=_ModelList).data]


def answers(error: UpstreamError) -> bool:
    """Is somebody there who could be asked for more than this?

    Some hosts have no list of models, or one of another shape, and some keys may not see it.
    """
    if error.upstream_status is not None:
        return error.upstream_status < 500
    return error.code == "upstream_protocol"
