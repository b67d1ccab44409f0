"""Does each status become the error that failover, metrics and clients act on?"""

import pytest

from proxy.errors import Busy, Down, Kind, Refused, Timeout, UpstreamError
from proxy.grammar.statuses import class_of


@pytest.mark.parametrize(
    ("status", "quota", "made", "kind"),
    [
        (400, False, Refused, None),
        (400, True, Refused, None),
        (401, False, Refused, "authentication"),
        (402, False, Refused, "quota_exceeded"),
        (403, False, Refused, "authentication"),
        (408, False, Timeout, None),
        (429, False, Busy, None),
        (429, True, Busy, "quota_exceeded"),
        (500, False, Down, None),
        (503, True, Down, None),
        (504, False, Timeout, None),
        (529, False, Busy, None),
    ],
)
def test_a_status_has_its_class(status: int, quota: bool, made: type[UpstreamError], kind: Kind | None) -> None:
    assert class_of(status, quota) == (made, kind)
