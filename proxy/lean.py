"""How is aiohttp loaded, so that it brings no more than is used of it?

By whoever serves, before anything else imports it, and in an environment of its own.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# It makes two TLS contexts as it is imported, and would load the machine's certificates into both: 1.6 MiB.
# Ours is made by `edge.trust`. Its own default trusts nobody: what would be left to it is refused.
_NOBODY = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
# For the lists that it freezes there is a class in C++, which would bring C++'s library, 1 MiB, for no other's sake.
_PLAIN_LISTS = {"FROZENLIST_NO_EXTENSIONS": "1"}


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


with _environment(_NOBODY | _PLAIN_LISTS):
    import aiohttp  # noqa: F401
