"""Does a meter find the events that hold a word, and no half of one?"""

from proxy.grammar.watching import LateMeter, event_at, giving_last, holding

EVENTS = (
    b'data: {"usage":null}\n\ndata: {"usage":{"a":1}}\n\ndata: {"x":"\\"usage\\""}\n\ndata: {"usage" : {"a":2}}\n\n'
)


def test_the_events_that_hold_a_word_come_in_their_order() -> None:
    found = [event.strip() for event in holding(EVENTS, b'"usage"')]
    assert found == [b'data: {"usage":null}', b'data: {"usage":{"a":1}}', b'data: {"usage" : {"a":2}}']


def test_the_last_that_gives_a_value_comes_first_and_null_is_none() -> None:
    found = [event.strip() for event in giving_last(EVENTS, b'"usage"')]
    assert found == [b'data: {"usage" : {"a":2}}', b'data: {"usage":{"a":1}}']
    assert list(giving_last(b"", b'"usage"')) == []


def test_an_event_is_found_by_any_place_in_it() -> None:
    at = EVENTS.index(b'{"a":1}')
    assert event_at(EVENTS, at).strip() == b'data: {"usage":{"a":1}}'
    assert event_at(b"data: cut", 3) == b"data: cut"


class Watching(LateMeter):
    looked = b""

    def _catch_up(self) -> None:
        self.looked += self._taken()


def test_what_comes_is_looked_at_when_somebody_asks_or_when_it_is_much() -> None:
    meter = Watching()
    meter.feed(b"a")
    assert meter.looked == b""
    assert meter.usage is None
    assert meter.looked == b"a"
    meter.feed(b"b" * 100_000)
    assert len(meter.looked) == 100_001
