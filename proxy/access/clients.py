"""Which client is it that shows this key?

Keys come from the configuration (`client_key`, `keys`) and from `pillion keys add`; both may change while pillion
runs, and are checked once a second. Keys are found by their SHA-256: nobody can choose a key whose digest is close to
another's, so the time of a look into a dict tells nothing of the keys in it.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterator, Sequence, Set
from time import monotonic

from proxy.access.allowance import ClientKey
from proxy.access.keyring import Keyring
from proxy.config import Config, HeldKey
from proxy.config.secret import digest_of
from proxy.config.spending import DEFAULT_CLIENT
from proxy.errors import Unauthorized
from proxy.ports import Call

LOOK_AGAIN = 1.0  # seconds

log = logging.getLogger("pillion")


class Clients:
    """All clients that have a key. `ring`: the minted keys, kept across reloads so that none is forgotten."""

    def __init__(self, config: Config, clock: Callable[[], float] = monotonic, ring: Keyring | None = None) -> None:
        """Raises ConfigError where there is no `ring` yet, and the minted keys cannot be read."""
        self._held = configured_keys(config)
        self._limits = config.limits.client
        self._takes_tokens = bool(config.jwt.jwks)
        self._bring_their_own = config.transparent is not None
        self.ring = ring or Keyring(config.state_dir)
        self._clock = clock
        self._digests: list[bytes] | None = None  # of those that are configured, as they are now
        self._found, self._rows = self.ring.found, self.ring.rows
        self._by_digest: dict[bytes, tuple[bytes, ClientKey]] = {}
        self._by_name: dict[str, ClientKey] = {}
        self._waiting: Set[str] = frozenset()  # names of keys whose budgets are not in force
        self._look_at = 0.0
        self._look()

    def __repr__(self) -> str:
        return f"<Clients: {len(self._held)} keys configured, {len(self.ring.rows)} minted>"

    @property
    def configured(self) -> int:
        return len(self._held)

    @property
    def minted(self) -> int:
        return len(self.ring.rows)

    def are_asked(self) -> bool:
        """Must clients show a key? Yes, as soon as there is one; and once keys were minted, even when all are gone.

        This is where the keys are looked for anew, once a second: `find` goes by what was found here.
        """
        if self._clock() >= self._look_at:
            self._look()
            if self.ring.is_due:
                self.ring.adopt()
        return bool(self._held) or self._takes_tokens or self.ring.exists

    def whose(self, call: Call) -> str | None:
        """Whose requests a client may see (`rights.Whose`): its own, if clients show keys, ours or a provider's."""
        return call.client if self._bring_their_own or self.are_asked() else None

    def find(self, key: str) -> ClientKey | None:
        """The client whose key it is; None: nobody's."""
        digest = digest_of(key)
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]

    async def awaited(self, key: str) -> ClientKey | None:
        """The same, once any budgets that keys wait for are in force."""
        if self.ring.is_due and (adopting := self.ring.adopt()) is not None:
            await asyncio.shield(adopting)  # which others may wait for as well
        if self.ring.rows is not self._rows:  # else another who waited has looked, or there is nothing new
            self._look()
        return self.find(key)

    def named(self, name: str) -> ClientKey | None:
        """Raises Unauthorized where its key waits for its budget: until then nobody is let in by its name."""
        if name in self._waiting:
            raise Unauthorized(f"The client key {name} cannot be used until its budget is in force.", code="key_waits")
        return self._by_name.get(name)

    def _look(self) -> None:
        self._look_at = self._clock() + LOOK_AGAIN
        self.ring.look()
        digests = [each.digest or digest_of(each.key.reveal()) for each in self._held]
        if digests != self._digests or self.ring.rows is not self._rows or self.ring.found is not self._found:
            self._digests, self._found, self._rows = digests, self.ring.found, self.ring.rows
            clients = dict(self._all(digests))
            self._by_digest = {digest: (digest, client) for digest, client in clients.items()}
            self._by_name = {client.name: client for client in clients.values()}
            self._waiting = {row.name for row in self._found} - self._by_name.keys()

    def _all(self, digests: Sequence[bytes]) -> Iterator[tuple[bytes, ClientKey]]:
        """By digest. Of two keys with one name the configured one counts, as limits and budgets go by the name."""
        taken = {each.client.name for each in self._held}
        for row in self._rows:
            if row.name not in taken:
                yield bytes.fromhex(row.sha256), row.client(self._limits)
            else:
                words = "the minted key %s is ignored: the configuration has a key of the same name"
                log.warning(words, row.name, extra={"event": "key_shadowed"})
        yield from zip(digests, (each.client for each in self._held), strict=True)


def configured_keys(config: Config) -> Sequence[HeldKey]:
    """All keys of the configuration."""
    if not config.client_key:
        return config.keys
    default = ClientKey(name=DEFAULT_CLIENT, limits=config.limits.client)
    return (HeldKey(default, config.client_key), *config.keys)
