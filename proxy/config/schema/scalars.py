"""Which numbers may stand in the configuration, and what is never shown?"""

from typing import Annotated, TypeAlias

from msgspec import Meta

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400, extra={"unit": "seconds"})]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=86400, extra={"unit": "seconds"})]
Dollars: TypeAlias = Annotated[float, Meta(ge=0, le=10**9, extra={"unit": "dollars"})]
Weight: TypeAlias = Annotated[float, Meta(gt=0, le=10**9)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
SecretText: TypeAlias = Annotated[str, Meta(extra={"secret": True})]


class Unshown:
    """A table in which secrets stand."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
