"""Can this aiohttp be trusted with strangers' bytes?"""

import re

import aiohttp
from aiohttp import http_parser

from proxy.errors import ConfigError

OLDEST = (3, 14, 4)


def check_aiohttp() -> None:
    """Raises ConfigError where it cannot.

    Older versions let requests be smuggled past them (CVE-2026-111750 and before), as does the pure Python parser.
    """
    found = tuple(map(int, re.findall(r"[0-9]+", aiohttp.__version__)[:3]))
    if found < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise ConfigError(f"aiohttp {aiohttp.__version__} is too old: pip install --upgrade 'aiohttp>={wanted}'")
    if http_parser.HttpResponseParser is http_parser.HttpResponseParserPy:
        raise ConfigError(
            "aiohttp's parser in C is not in use: unset AIOHTTP_NO_EXTENSIONS, or install a wheel that has it:"
            " pip install --force-reinstall --only-binary :all: aiohttp"
        )
