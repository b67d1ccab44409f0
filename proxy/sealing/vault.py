"""Which of the model's reasoning has the client not sent back?

Where a client's wire has no place for a seal, or the client does not keep it, the vault does. `Recall` is one request's
view of it: `restore` fills in what earlier answers lack, and `watch` notes what is to be kept of the coming one. A
request is first unsealed and then restored, as the vault keeps raw seals.

What is kept of an answer is found again by the client's name, the target (maker and model), the conversation before the
answer, and the answer's own identity: by a digest of all of these, so that nothing is found where one of them differs.
Thoughts and seals are kept, in memory only; of all else there are only lengths and digests.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from itertools import groupby
from threading import Lock
from typing import NamedTuple

from msgspec import Struct

from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Open,
    Refusal,
    Request,
    Start,
    Text,
    Thinking,
    ToolCall,
    Turn,
    fold,
)
from proxy.sealing.conversation import Conversation, digest_of, identities
from proxy.sealing.pieces import Kept, fill, pieces_of, size_of

LONGEST = 1024 * 1024  # characters of an answer that is remembered: an endless one would fill our memory

_Scope = tuple[str, str, str]  # client, maker, model


class _Entry(NamedTuple):
    kept: Kept
    scope: _Scope
    size: int
    used: float  # by the vault's clock


class Vault:
    """What clients could not keep. The least recently used goes first, and what was not used for a day goes too.

    It is used by the loop, and by the thread that reads large bodies.
    """

    def __init__(
        self,
        limit_bytes: int = 64 * 1024 * 1024,
        limit_entries: int = 10_000,
        lifetime: float = 86_400,  # seconds since it was used last
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._limit_entries = limit_entries
        self._lifetime = lifetime
        self._clock = clock
        self._lock = Lock()
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the least recently used first
        self._scopes: Counter[_Scope] = Counter()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Vault {len(self._entries)} answers, {self._bytes} bytes>"

    def recall(self, request: Request, client: str, maker: str) -> "Recall":
        """`request.model`: the provider's own name for the model. `maker`: the provider, as marks name it."""
        return Recall(self, request, (client, maker, request.model))

    def knows(self, scope: _Scope) -> bool:
        with self._lock:
            self._expire()
            return scope in self._scopes

    def get(self, key: bytes) -> Kept | None:
        with self._lock:
            self._expire()
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries[key] = entry._replace(used=self._clock())
            self._entries.move_to_end(key)
            return entry.kept

    def put(self, key: bytes, scope: _Scope, kept: Kept) -> None:
        with self._lock:
            self._expire()
            if key in self._entries:
                self._drop(key)
            entry = _Entry(kept, scope, size_of(kept), self._clock())
            if entry.size > self._limit_bytes:
                return
            self._entries[key] = entry
            self._scopes[scope] += 1
            self._bytes += entry.size
            while self._bytes > self._limit_bytes or len(self._entries) > self._limit_entries:
                self._drop(next(iter(self._entries)))

    def lose(self, key: bytes) -> None:
        with self._lock:
            if key in self._entries:
                self._drop(key)

    def _expire(self) -> None:
        dead = self._clock() - self._lifetime
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.used > dead:
                return
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        self._bytes -= entry.size
        self._scopes[entry.scope] -= 1
        if not self._scopes[entry.scope]:
            del self._scopes[entry.scope]


class _Block(Struct):
    """A block of an answer that is being watched."""

    opening: Open
    texts: list[str] = []
    seals: list[str] = []

    def said(self) -> tuple[Event, ...]:
        index = self.opening.index
        whole = Delta(index=index, text="".join(self.texts), signature="".join(self.seals))
        return self.opening, whole, Close(index=index)


class Recall:
    """One request's view of the vault."""

    def __init__(self, vault: Vault, request: Request, scope: _Scope) -> None:
        self.maker = scope[1]
        self._vault = vault
        self._turns = request.turns
        self._scope = scope
        self._before = b""  # the digest of the whole conversation, once it was needed
        self._blocks: dict[int, _Block] = {}
        self._size = 0  # characters in them
        self._sealed = False

    def restore(self) -> None:
        """Fill in what the request's earlier answers lack, in place."""
        self._visit(self._mend)

    def forget(self) -> None:
        """Keep no longer what the request's earlier answers lack: nobody wants it back."""
        self._visit(self._lose)

    def _visit(self, each: Callable[[list[Turn], bytes], None]) -> None:
        """Each earlier answer, with the digest of what stands before it."""
        if not self._vault.knows(self._scope) or all(turn.role != "assistant" for turn in self._turns):
            return
        conversation = Conversation()
        for role, run in groupby(self._turns, lambda turn: turn.role):
            turns, before = list(run), conversation.digest()
            for turn in turns:
                conversation.add(turn)
            if role == "assistant":
                each(turns, before)
        self._before = conversation.digest()

    def _mend(self, turns: list[Turn], before: bytes) -> None:
        for identity in identities([part for turn in turns for part in turn.parts]):
            if kept := self._vault.get(self._key(before, identity)):
                fill(turns, kept)
                return

    def _lose(self, turns: list[Turn], before: bytes) -> None:
        for identity in identities([part for turn in turns for part in turn.parts]):
            self._vault.lose(self._key(before, identity))

    def watch(self, events: Iterable[Event]) -> None:
        """The answer's events as the provider said them, before seals are marked."""
        for event in events:
            if type(event) is Delta:
                if (block := self._blocks.get(event.index)) is not None:
                    self._size += len(event.text)
                    block.texts.append(event.text)
                    if event.signature:
                        self._sealed = True
                        block.seals.append(event.signature)
            elif type(event) is Open:
                self._open(event)
            elif type(event) is Finish and self._sealed and len(event.stops) == 1 and self._size <= LONGEST:
                self._remember()  # with several choices, nobody knows which one the client goes on with
        if self._size > LONGEST:
            self._blocks.clear()

    def _open(self, event: Open) -> None:
        match event.part:
            case (Text() | ToolCall()) as part:
                sealed = bool(part.signature)
            case Thinking() as thought:
                sealed = thought.is_sealed
            case Refusal():
                sealed = False
            case _:
                return
        self._blocks[event.index] = _Block(event)
        self._sealed = self._sealed or sealed

    def _remember(self) -> None:
        said = [event for block in self._blocks.values() for event in block.said()]
        parts = fold([Start(), *said, Finish()]).choices[0].parts
        if not self._before:
            conversation = Conversation()
            for turn in self._turns:
                conversation.add(turn)
            self._before = conversation.digest()
        kept = pieces_of(parts)
        for identity in identities(parts):
            self._vault.put(self._key(self._before, identity), self._scope, kept)

    def _key(self, before: bytes, identity: list[str]) -> bytes:
        return digest_of((*self._scope, before.hex(), *identity))
