"""What is in a list of models, in the shape that most providers use, and what if there is none?"""

from typing import Annotated

import msgspec

from proxy.errors import UpstreamError


class _Named(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Named]


_Bare = Annotated[list[_Named], msgspec.Meta(min_length=1)]  # Together's


def ids(body: bytes) -> list[str]:
    """The ids of its models. Raises msgspec.DecodeError."""
    said = msgspec.json.decode(body, type=_ModelList | _Bare)
    return [row.id for row in (said if isinstance(said, list) else said.data)]


def answers(error: UpstreamError) -> bool:
    """Is there a provider that could take requests, although this one failed?

    Some hosts have no list of models, or one of another shape, and some keys may not read it.
    """
    if error.upstream_status is not None:
        return error.upstream_status < 500
    return error.code == "upstream_protocol"
