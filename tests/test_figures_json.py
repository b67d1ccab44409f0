"""Do we and the provider read one and the same request, however its JSON is spelled?

Figure J1: what one parser takes for one model and another for another would be priced as the one and billed as the
other. So a body is refused, or every way of reading what the provider gets leads to the model that we name. How long
the loop stands still for ten megabytes is told by tests/bench/figures.py.
"""

import codecs
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.client import ANTHROPIC, LANES, Got, Speech, chat, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.laws import share

JSON = [("Content-Type", "application/json")]
CHEAP, DEAR = "cheap", "dear"

# --- the corpus ------------------------------------------------------------------------------------------------------

# MODEL stands for the target's name, REST for what a request must have beside it, DEAR for another model.
PAIRS = [
    '"model":MODEL,"model":DEAR,REST', '"model":DEAR,REST,"model":MODEL', '"model":MODEL,REST,"mod\\u0065l":DEAR',
    '"mod\\u0065l":MODEL,REST', '"\\u006d\\u006f\\u0064\\u0065\\u006c":MODEL,REST',
    '"model":MODEL,"\\u006Dodel":DEAR,REST', '"model":MODEL,REST,"Model":DEAR', '"MODEL":DEAR,"model":MODEL,REST',
    '"model":MODEL,REST,"mOdEl":DEAR', '"Model":DEAR,REST', '"model":MODEL,REST,"model ":DEAR',
    '"model":MODEL,REST," model":DEAR', '"model":MODEL,REST,"model\\u0000":DEAR',
    '"model":MODEL,REST,"model\\ud800":DEAR', '"model":MODEL,REST,"\\ud800":1',
    '"model":MODEL,REST,"m\\u006fdel":DEAR,"x":1', '"model":MODEL,REST,"\\uff4dodel":DEAR',
    '"model":MODEL,REST,"":DEAR', '"model":MODEL,REST,"a":1,"a":2', '"model":MODEL,REST,"metadata":{"model":DEAR}',
    '"metadata":{"model":DEAR},"model":MODEL,REST', '"model":MODEL,REST,"x":"\\",\\"model\\":DEAR"',
    '"model":MODEL,REST,"x":{"a":1,"a":2}', '"model":MODEL,REST,"x":[{"model":DEAR}]', '"model":["MODEL"],REST',
    '"model":{"model":MODEL},REST', '"model":null,REST', '"model":MODEL,"stream":false,"stream":true,REST',
    '"model":MODEL,"stream":false,"str\\u0065am":true,REST', '"model":MODEL,"stream":false,"Stream":true,REST',
    '"model":MODEL,"max_tokens":1,"max_tokens":9,REST', '"model":MODEL,"Max_Tokens":9,REST',
]  # fmt: skip
TEXTS = [
    "{ALL}", " {ALL}", "\n{ALL}\n", "\t{ALL}\r\n ", "{ALL}{ALL}", "{ALL} {}", "{ALL},", "{ALL}x", "{ALL}]", "{ALL}}",
    "{ALL}\x00", "\x00{ALL}", "{ALL}\n\n{\"model\":DEAR}", "[{ALL}]", "\"{ALL}\"", "({ALL})", "x={ALL}", "{ALL}//",
    "/**/{ALL}", "{ALL}#", "{ALL,}", "{,ALL}", "{ALL,,\"x\":1}", "{ALL;\"x\":1}", "{ALL \"x\":1}", "{ALL,\"x\"}",
    "{ALL,\"x\":}", "{ALL,x:1}", "{ALL,'x':1}", "{ALL,\"x\":'1'}", "{ALL,1:1}", "{ALL,null:1}", "{ALL", "ALL}",
    "{{ALL}}", "\x0b{ALL}", "\x0c{ALL}", "\xa0{ALL}", "\u2028{ALL}", "\u200b{ALL}", "{ALL}\x1a", "{ALL /* */}",
    "{ALL // x\n}", "\x1e{ALL}", "data: {ALL}", ")]}'\n{ALL}", "{ALL}\n{ALL}", "{\n  ALL\n}", "{ ALL , \"x\" : 1 }",
]  # fmt: skip
VALUES = [
    "01", "+1", "-", "-0", "1.", ".1", "1e", "1e+", "1E5", "1e400", "-1e400", "0x1", "1_0", "NaN", "Infinity",
    "-Infinity", "nan", "True", "FALSE", "None", "undefined", "tru", "nulll", "\"", "\"\\\"", "\"\\x41\"", "\"\\u00\"",
    "\"\\u00g0\"", "\"\\u{41}\"", "\"\\'\"", "\"\\\n\"", "\"\n\"", "\"\t\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"",
    "\"\\ud800\"", "\"\\udc00\"", "\"\\ud83d\\ude00\"", "\"\\ude00\\ud83d\"", "\"\u2028\"", "\"\\u0000\"", "[", "]",
    "[1", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1}", "{1]", "{", "}", "{\"a\":1,}", "{\"a\"}", "{a:1}",
    "{\"a\":1 \"b\":2}", "\"\"\"\"", "9007199254740993", "18446744073709551616", "123456789012345678901234567890",
    "0.1e-400", "1e-400", "-9223372036854775809",
]  # fmt: skip
MANY = share("J1, of a million keys, digits or backslashes", 1_000_000, 100_000)
SIZES: Mapping[str, Callable[[], bytes]] = {
    "a hundred thousand arrays deep": lambda: b"[" * 100_000 + b"]" * 100_000,
    "a hundred thousand objects deep": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open without end": lambda: b"[" * 100_000,
    "digits": lambda: b"9" * MANY,
    "digits of a fraction": lambda: b"0." + b"9" * MANY,
    "digits of an exponent": lambda: b"1e" + b"9" * MANY,
    "a string of ten bytes for each": lambda: b'"' + b"0123456789" * MANY + b'"',
    "backslashes": lambda: b'"' + b"\\\\" * MANY + b'"',
    "keys": lambda: b"{" + b",".join(b'"k%d":1' % key for key in range(MANY)) + b"}",
    "equal keys": lambda: b"{" + b",".join([b'"k":1'] * MANY) + b"}",
}
CODINGS: Mapping[str, Callable[[str], bytes]] = {
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, without a mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "UTF-7": lambda text: text.replace('"', "+ACI-").encode(),
    "EBCDIC": lambda text: text.encode("cp500"),
    "overlong": lambda text: text.encode().replace(b"m", b"\xc1\xad", 1),
    "half a character": lambda text: text.encode() + b"\xc3",
    "surrogates": lambda text: text.replace("user", "\ud800").encode("utf-8", "surrogatepass"),
    "beyond Unicode": lambda text: text.encode().replace(b"user", b"\xf5\x80\x80\x80"),
}


def asked(speech: Speech, provider: Speech, model: str = CHEAP) -> tuple[str, str]:
    """A request of this wire for that provider, without the braces around it: its model, and the rest."""
    rest = '"messages":[{"role":"user","content":"hi"}]' + (',"max_tokens":9' if speech is ANTHROPIC else "")
    return f'"{provider.provider}/{model}"', rest


def spelled(speech: Speech, provider: Speech) -> list[bytes]:
    model, rest = asked(speech, provider)
    dear, _ = asked(speech, provider, DEAR)
    everything = f'"model":{model},{rest}'

    def put(text: str) -> str:
        return text.replace("ALL", everything).replace("MODEL", model).replace("DEAR", dear).replace("REST", rest)

    texts = [f"{{{put(pair)}}}" for pair in PAIRS] + [put(text) for text in TEXTS]
    texts += [f'{{{everything},"{key}":{value}}}' for value in VALUES for key in ("user", "top_p")]
    return [text.encode() for text in texts] + [code(f"{{{everything}}}") for code in CODINGS.values()]


def large(speech: Speech, provider: Speech) -> list[bytes]:
    model, rest = asked(speech, provider)
    start = f'{{"model":{model},{rest},'.encode()
    keys = SIZES["keys"]()[1:]
    return [start + b'"metadata":%b}' % make() for make in SIZES.values()] + [start + keys]


# --- who reads it ----------------------------------------------------------------------------------------------------


def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As Go's encoding/json fills a struct: names in any case, and the last one counts."""
    return {key.lower(): value for key, value in pairs}


READERS: list[Callable[[list[tuple[str, Any]]], dict[str, Any]]] = [dict, first, folded]


def models(body: bytes) -> set[str]:
    """The models that the provider may take it for."""
    text = body.decode("utf-8", "replace")
    return {json.loads(text, object_pairs_hook=read, parse_int=str)["model"] for read in READERS}


async def check(gateway: Gateway, evil: Evil, speech: Speech, body: bytes) -> str:
    """What is wrong; nothing where the body is refused, or is one request to everybody."""
    before = len(evil.requests)
    got: Got = await chat(gateway, speech, body)
    sent = evil.requests[before:]
    if got.status == 400:
        speech.error(got.body)
        return f"{len(sent)} were sent" if sent else ""
    if got.status != 200 or len(sent) != 1:
        return f"{got.status}, {len(sent)} sent"
    try:
        read, priced = models(bytes(sent[0].body)), got.header("x-pillion-model")
    except RecursionError:  # from Python 3.14 on we pass on what its own json cannot read
        return ""
    return "" if read == {priced} == {CHEAP} else f"priced {priced}, read {read}"


async def faults(speech: Speech, provider: Speech, bodies: Sequence[bytes]) -> str:
    """A line for each body that is not one request to everybody."""
    answer = Scenario(headers=JSON, body=provider.whole)
    async with Evil(answering=lambda _: answer) as evil, pillion(**provider.environ(evil.url)) as gateway:
        found = [(await check(gateway, evil, speech, body), ascii(body[:200])) for body in bodies]
    return "\n".join(f"{fault}: {body}" for fault, body in found if fault)


@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_what_is_priced_is_what_the_provider_reads(speech: Speech, provider: Speech) -> None:
    assert await faults(speech, provider, spelled(speech, provider)) == ""


@pytest.mark.parametrize(("speech", "provider"), LANES[:2], ids=lane_name)
async def test_what_is_large_is_read_by_both_or_refused(speech: Speech, provider: Speech) -> None:
    assert await faults(speech, provider, large(speech, provider)) == ""
