"""What did the SDK raise?"""

from collections.abc import Mapping

from tests.conformance.told import Told


class Raised(Exception):
    """The SDK's own exception, in words that belong to no SDK. A stream that breaks has no status of its own."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        told: Told | None = None,
    ) -> None:
        """`told`: what was read by then, where the SDK itself raises nothing and the app has to look."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = headers  # None where the SDK hides them
        self.told = told

    def __repr__(self) -> str:
        return f"<Raised {self.status or 'in the stream'}: {self.message}>"
