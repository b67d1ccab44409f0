"""Is a model's name understood by the rules in their order, and does a name that nobody knows get a useful answer?"""

from collections.abc import Collection, Mapping, Sequence

import pytest

from proxy.access.allowance import ClientKey
from proxy.adapters.echo import Echo
from proxy.catalog import Catalog
from proxy.catalog.given import Given
from proxy.catalog.unknown import LISTED
from proxy.errors import Down, UnknownModel, UpstreamError
from proxy.ports import Abilities, Adapter, Answer, Health, Hints, Outgoing

SERVES = {"openai": ["gpt", "o3"], "anthropic": ["claude"], "google": ["gemini"]}
SYNONYMS = {"claude": "anthropic", "gemini": "google"}
WAYS = {
    "openai": "set OPENAI_API_KEY",
    "anthropic": "set ANTHROPIC_API_KEY",
    "google": "set GEMINI_API_KEY or GOOGLE_API_KEY",
}


class Listing:
    """A provider that has a list and nothing else; `asked` counts how often somebody fetched it."""

    dialects: Sequence[str] = ("openai_chat",)
    real = True
    ask_usage = True
    call_id_length: int | None = None
    thoughts = "refused"
    whose_key = "pillion's"
    cache_points = False
    searches = False
    no_urls: Collection[str] = ()

    def __init__(self, name: str, configured: Sequence[str] = (), listed: Sequence[str] | None = ()) -> None:
        self.name = name
        self.asked = 0
        self._configured = list(configured)
        self.listed = listed
        self._known: list[str] = []
        self.error: Down | None = None  # the same, until a test has it asked anew

    def takes(self, model: str) -> Sequence[str]:
        return self.dialects

    def do_without(self, dialect: str) -> None:
        raise AssertionError("a catalog asks for no endpoint")

    def counts(self, dialect: str) -> bool:
        raise AssertionError("a catalog counts no tokens")

    def abilities(self, model: str) -> Abilities:
        raise AssertionError("a catalog tells of no model")

    def may_ask(self, model: str) -> bool:
        raise AssertionError("a catalog shows no key")

    def has_other_key(self, model: str) -> bool:
        raise AssertionError("a catalog shows no key")

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        raise AssertionError("a catalog sends nothing")

    def hints(self, model: str) -> Hints:
        raise AssertionError("a catalog sends nothing")

    def hide(self, text: str) -> str:
        raise AssertionError("a catalog meets no errors' words")

    async def models(self, via: str = "") -> list[str]:
        self.asked += 1
        if self.listed is None:
            self.error = self.error or Down("no list today")
            raise self.error
        self._known = list(self.listed)
        return [*self._configured, *self._known]

    def has(self, model: str) -> bool:
        return model in self._configured or model in self._known

    def denies(self, model: str) -> bool:
        return not self.has(model)

    async def send(self, outgoing: Outgoing) -> Answer:
        raise NotImplementedError

    async def health(self) -> Health:
        raise NotImplementedError


def catalog(
    *adapters: Adapter,
    aliases: Mapping[str, str] | None = None,
    default: str | None = None,
    echo: bool = True,
    upstream: str | None = None,
    defaults: Mapping[str, str] | None = None,
    local: Sequence[str] = (),
    assumed: Sequence[str] = (),
    transparent: str | None = None,
) -> Catalog:
    named: dict[str, Adapter] = {adapter.name: adapter for adapter in adapters}
    given = Given(
        aliases=aliases or {},
        synonyms=SYNONYMS,
        serves=SERVES,
        default_model=default,
        ways=WAYS,
        upstream=upstream,
        defaults=defaults or {},
        local=local,
        assumed=assumed,
        transparent=transparent,
    )
    return Catalog(named | ({"echo": Echo("echo")} if echo else {}), given)


async def meant(names: Catalog, name: str) -> str:
    target = await names.resolve(name)
    return f"{target.adapter.name}/{target.model}"


async def unknown(names: Catalog, name: str) -> str:
    with pytest.raises(UnknownModel) as caught:
        await names.resolve(name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
    return caught.value.message


# --- the rules -------------------------------------------------------------------------------------------------------


async def test_an_alias_comes_first() -> None:
    names = catalog(
        Listing("openai", ["fast", "gpt-5"]),
        aliases={"fast": "openai/gpt-5", "gpt-4": "openai/gpt-5", "openai/old": "openai/new"},
    )
    assert await meant(names, "fast") == "openai/gpt-5"
    assert await meant(names, "gpt-4") == "openai/gpt-5"
    assert await meant(names, "openai/old") == "openai/new"


async def test_a_provider_and_a_model_are_taken_at_their_word() -> None:
    openai = Listing("openai")
    names = catalog(openai, Listing("groq", ["openai/gpt-oss"]))
    assert await meant(names, "openai/anything:at all/even this") == "openai/anything:at all/even this"
    assert await meant(names, "groq/openai/gpt-oss") == "groq/openai/gpt-oss"
    assert await meant(names, "echo/text") == "echo/text"
    assert openai.asked == 0


@pytest.mark.parametrize(("name", "provider"), [("claude/x", "anthropic"), ("gemini/x", "google")])
async def test_synonyms_stand_before_the_slash(name: str, provider: str) -> None:
    assert await meant(catalog(Listing("anthropic"), Listing("google")), name) == f"{provider}/x"


async def test_a_provider_that_is_called_like_a_synonym_is_itself() -> None:
    assert await meant(catalog(Listing("claude"), Listing("anthropic")), "claude/x") == "claude/x"


async def test_a_configured_model_is_found_without_asking() -> None:
    one, two = Listing("one", ["m"]), Listing("two", ["n", "meta/llama"])
    names = catalog(one, two)
    assert [await meant(names, name) for name in ("m", "n", "meta/llama")] == ["one/m", "two/n", "two/meta/llama"]
    assert (one.asked, two.asked) == (0, 0)


async def test_with_several_providers_the_lists_decide_before_the_beginning_of_the_name() -> None:
    openai, other = Listing("openai", listed=["gpt-5"]), Listing("other", listed=["gpt-oss"])
    names = catalog(openai, other)
    assert await meant(names, "gpt-oss") == "other/gpt-oss"
    assert (openai.asked, other.asked) == (1, 1)
    assert await meant(names, "gpt-oss") == "other/gpt-oss"
    assert await meant(names, "gpt-5") == "openai/gpt-5"
    assert (openai.asked, other.asked) == (1, 1)
    assert await meant(names, "gpt-unlisted") == "openai/gpt-unlisted"


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        (ClientKey(name="k"), "anthropic"),
        (ClientKey(name="k", providers=("openai",)), "openai"),
        (ClientKey(name="k", models=("openai/*",)), "openai"),
        (ClientKey(name="k", providers=("late",)), "late"),
        (ClientKey(name="k", models=("late/other",)), "anthropic"),  # which refuses it
    ],
    ids=["all", "provider", "model", "unlisted", "none"],
)
async def test_of_several_that_have_a_name_a_key_is_given_one_that_it_may_ask(key: ClientKey, provider: str) -> None:
    both = catalog(Listing("anthropic", ["m"]), Listing("openai", ["m"]), Listing("late", listed=["m"]))
    for _ in range(2):
        assert (await both.resolve("m", key)).adapter.name == provider
    assert await meant(both, "m") == "anthropic/m"


async def test_a_key_is_given_no_other_provider_than_was_named() -> None:
    both = catalog(Listing("anthropic", ["m"]), Listing("openai", ["m"]), aliases={"a": "anthropic/m"})
    for name in ("anthropic/m", "a"):
        assert (await both.resolve(name, ClientKey(name="k", providers=("openai",)))).adapter.name == "anthropic"


async def test_one_provider_is_not_asked_for_what_its_name_begins_with() -> None:
    openai = Listing("openai", listed=None)
    assert await meant(catalog(openai), "gpt-5") == "openai/gpt-5"
    assert openai.asked == 0


async def test_a_list_that_fails_leaves_the_other_rules() -> None:
    names = catalog(Listing("openai", listed=None), Listing("other", listed=None))
    assert await meant(names, "gpt-5") == "openai/gpt-5"


async def test_a_list_that_fails_is_told_once_and_again_when_it_fails_anew(caplog: pytest.LogCaptureFixture) -> None:
    openai, other = Listing("openai"), Listing("other", listed=None)
    names = catalog(openai, other)
    for _ in range(3):
        await meant(names, "gpt-5")
    other.error = None
    await names.names()
    other.listed = ["m"]
    await names.names()
    told = [(record.levelname, getattr(record, "event", ""), record.getMessage()) for record in caplog.records]
    assert told == 2 * [("WARNING", "models_failed", told[0][2])]
    assert told[0][2].startswith("other could not list its models")
    assert told[0][2].endswith("no list today")


async def test_one_that_nobody_configured_may_fail_unheard(caplog: pytest.LogCaptureFixture) -> None:
    names = catalog(Listing("openai"), Listing("ollama", listed=None), assumed=["ollama"])
    assert "could not be asked" not in await unknown(names, "x")
    assert caplog.records == []


async def test_a_404_says_whose_list_failed() -> None:
    other = Listing("other", listed=None)
    names = catalog(Listing("openai"), other, echo=False)
    assert "Providers: openai, other (could not be asked)." in await unknown(names, "x")
    other.listed = []
    assert "Providers: openai, other. " in await unknown(names, "x")


@pytest.mark.parametrize(("name", "meanwhile"), [("gpt-oss", "openai/gpt-oss"), ("oss", "openai/gpt-5")])
async def test_a_list_that_comes_late_decides_from_then_on(name: str, meanwhile: str) -> None:
    late = Listing("late", listed=None)
    names = catalog(Listing("openai"), late, default="openai/gpt-5")
    assert await meant(names, name) == meanwhile
    late.listed = [name]
    assert await meant(names, name) == f"late/{name}"


async def test_a_name_that_is_sure_is_not_looked_for_again() -> None:
    one, two = Listing("one", listed=["m"]), Listing("two")
    names = catalog(one, two)
    for _ in range(3):
        assert await meant(names, "m") == "one/m"
    assert (one.asked, two.asked) == (1, 1)


async def test_the_default_takes_what_nobody_knows() -> None:
    names = catalog(Listing("openai"), default="openai/gpt-5")
    assert await meant(names, "my-model") == "openai/gpt-5"
    assert await meant(catalog(Listing("anthropic"), default="claude/x"), "my-model") == "anthropic/x"


async def test_the_default_takes_no_name_that_says_a_provider() -> None:
    await unknown(catalog(Listing("openai"), default="openai/gpt-5"), "mistral/x")


# --- echo ------------------------------------------------------------------------------------------------------------


async def test_echo_stands_in_for_any_bare_name_while_there_is_no_provider() -> None:
    assert await meant(catalog(), "gpt-5") == "echo/gpt-5"
    assert await meant(catalog(), "whatever") == "echo/whatever"


async def test_echo_never_stands_in_for_a_provider() -> None:
    await unknown(catalog(Listing("openai")), "claude-x")
    await unknown(catalog(), "openai/gpt-5")


async def test_the_default_comes_before_echo() -> None:
    assert await meant(catalog(default="echo/text"), "whatever") == "echo/text"


# --- on this machine -------------------------------------------------------------------------------------------------


async def test_the_local_provider_takes_what_nobody_knows_where_it_is_well() -> None:
    openai, ollama = Listing("openai"), Listing("ollama", listed=["llama3"])
    names = catalog(openai, ollama, local=["ollama"])
    assert [await meant(names, name) for name in ("llama3", "mistral", "gpt-5")] == [
        "ollama/llama3", "ollama/mistral", "openai/gpt-5",
    ]  # fmt: skip
    ollama.listed = None
    await unknown(names, "mistral")
    await unknown(names, "nobody/mistral")


async def test_the_default_comes_before_the_local_provider() -> None:
    names = catalog(Listing("openai"), Listing("ollama"), default="openai/gpt-5", local=["ollama"])
    assert await meant(names, "mistral") == "openai/gpt-5"


async def test_one_that_nobody_configured_takes_what_it_lists_and_no_other_claims() -> None:
    ollama = Listing("ollama", listed=["llama3", "gpt-oss", "hf.co/a/b"])
    names = catalog(Listing("openai"), ollama, assumed=["ollama"])
    assert await meant(names, "gpt-oss") == "openai/gpt-oss"
    assert ollama.asked == 0
    assert [await meant(names, name) for name in ("llama3", "hf.co/a/b", "gpt-oss", "ollama/any")] == [
        "ollama/llama3", "ollama/hf.co/a/b", "openai/gpt-oss", "ollama/any",
    ]  # fmt: skip
    await unknown(names, "mistral")


async def test_one_that_nobody_configured_comes_before_the_default() -> None:
    names = catalog(Listing("openai"), Listing("ollama", listed=["llama3"]), default="openai/gpt-5", assumed=["ollama"])
    assert [await meant(names, name) for name in ("llama3", "x")] == ["ollama/llama3", "openai/gpt-5"]


async def test_one_that_nobody_configured_is_not_in_echos_way_and_may_come_later() -> None:
    ollama = Listing("ollama", listed=None)
    names = catalog(ollama, assumed=["ollama"])
    assert [await meant(names, name) for name in ("llama3", "gpt-5", "text")] == [
        "echo/llama3",
        "echo/gpt-5",
        "echo/text",
    ]
    ollama.listed = ["llama3"]
    assert [await meant(names, name) for name in ("llama3", "gpt-5", "text")] == [
        "ollama/llama3", "echo/gpt-5", "echo/text",
    ]  # fmt: skip


@pytest.mark.parametrize("meant", ["nope/x", "gpt-5", "openai/", "fast"])
async def test_an_alias_that_leads_nowhere_is_no_model_and_never_echo(meant: str) -> None:
    names = catalog(aliases={"fast": meant})
    assert "fast" not in await names.names()
    assert f"The model {meant!r}, which 'fast' stands for, is not known." in await unknown(names, "fast")


async def test_an_alias_of_what_another_claims_is_remembered() -> None:
    ollama = Listing("ollama", listed=None)
    names = catalog(Listing("openai"), ollama, aliases={"fast": "openai/gpt-5"}, assumed=["ollama"])
    for _ in range(2):
        assert await meant(names, "fast") == "openai/gpt-5"
    assert ollama.asked == 0
    assert repr(names._met) == "{'fast': <Target openai/gpt-5>}"


async def test_one_that_nobody_configured_is_told_of_only_where_it_lists_something() -> None:
    ollama = Listing("ollama", listed=None)
    names = catalog(Listing("openai"), ollama, assumed=["ollama"], echo=False)
    assert "Providers: openai. Models: ." in await unknown(names, "x")
    ollama.listed = ["llama3"]
    assert "Providers: openai, ollama. Models: ollama/llama3." in await unknown(names, "x")


# --- names -----------------------------------------------------------------------------------------------------------


async def test_the_names_are_the_aliases_and_every_listed_model_by_its_provider() -> None:
    names = catalog(Listing("one", ["a"], ["b"]), Listing("two", ["c"], None), aliases={"fast": "one/a"}, echo=False)
    assert await names.names() == ["fast", "one/a", "one/b"]


# --- 404 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["claude-x", "anthropic/claude-x", "claude/claude-x"])
async def test_an_unknown_name_is_told_which_key_is_missing(name: str) -> None:
    message = await unknown(catalog(Listing("openai")), name)
    assert f"{name!r} is not known" in message
    assert "anthropic is not configured: set ANTHROPIC_API_KEY." in message


async def test_either_of_two_keys_is_named() -> None:
    assert "set GEMINI_API_KEY or GOOGLE_API_KEY." in await unknown(catalog(Listing("openai")), "gemini-3")


@pytest.mark.parametrize("name", ["llama", "nobody/llama", "openai/", "/gpt", "/", ""])
async def test_an_unknown_name_is_told_what_there_is(name: str) -> None:
    message = await unknown(catalog(Listing("openai", ["gpt-5"]), aliases={"fast": "openai/gpt-5"}, echo=False), name)
    assert message.endswith("Providers: openai. Models: fast, openai/gpt-5.")


async def test_a_long_list_is_cut_and_says_where_the_rest_is() -> None:
    many = [f"m{number}" for number in range(LISTED + 3)]
    message = await unknown(catalog(Listing("openai", many), echo=False), "x")
    assert message.endswith(f"openai/m{LISTED - 1} and 3 more (GET /v1/models).")


async def test_a_key_for_some_providers_is_told_of_no_others() -> None:
    names = catalog(Listing("openai", ["gpt-5"]), Listing("groq", ["llama"]), echo=False)
    with pytest.raises(UnknownModel) as caught:
        await names.resolve("x", ClientKey(name="ann", providers=("openai",)))
    assert caught.value.message.endswith("Providers: openai. Models: openai/gpt-5.")


async def test_of_many_names_the_rules_of_those_that_were_met_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is clients who choose names: what is known of them must not grow for ever."""
    monkeypatch.setattr("proxy.catalog.REMEMBERED", 2)
    names, asked = catalog(Listing("openai"), echo=False), [f"openai/{letter}" for letter in "abcde"]
    for name in asked:
        await names.resolve(name)
        assert names.how(name) == "named"
    assert [name for name in asked if names.how(name)] == ["openai/a", "openai/b", "openai/e"]


# --- all traffic to one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-5", "openai/gpt-5", "fast", "what is this?"])
async def test_an_upstream_gets_everything(name: str) -> None:
    both = Listing("openai", ["gpt-5"]), Listing("anthropic")
    aliases = {"fast": "openai/gpt-5"}
    assert await meant(catalog(*both, aliases=aliases, upstream="anthropic/claude-x"), name) == "anthropic/claude-x"
    defaults = {"anthropic": "claude-d", "openai": "gpt-d"}
    assert await meant(catalog(*both, upstream="anthropic", defaults=defaults), name) == "anthropic/claude-d"
    for upstream, model in (("claude/claude-x", "claude-x"), ("claude", "claude-d")):  # another word for it
        there = catalog(*both, upstream=upstream, defaults=defaults)
        assert await meant(there, name) == f"anthropic/{model}"


async def test_the_default_model_is_there_although_nobody_lists_it() -> None:
    both = Listing("openai", ["gpt-5"]), Listing("anthropic")
    assert await catalog(*both, default="anthropic/claude-x", echo=False).names() == [
        "openai/gpt-5",
        "anthropic/claude-x",
    ]
    assert await catalog(*both, default="openai/gpt-5", echo=False).names() == ["openai/gpt-5"]


async def test_an_upstream_without_a_model_names_the_variable() -> None:
    told = await unknown(catalog(Listing("openai", ["gpt-5"]), upstream="openai", defaults={"openai": ""}), "gpt-5")
    assert "PILLION_UPSTREAM=openai/MODEL, or PILLION_OPENAI_MODEL" in told


@pytest.mark.parametrize(
    ("name", "default", "target"),
    [
        ("llama", None, "groq/llama"),
        ("gpt-5", None, "groq/gpt-5"),
        ("google/gemma", None, "groq/google/gemma"),
        ("groq/llama", None, "groq/llama"),
        ("openai/gpt-5", None, "openai/gpt-5"),  # it is refused there
        ("fast", None, "groq/llama"),
        ("llama", "groq/big", "groq/big"),
        ("known", "groq/big", "groq/known"),
        ("google/gemma", "groq/big", "groq/google/gemma"),
    ],
)
async def test_in_transparent_mode_one_provider_gets_every_name(name: str, default: str | None, target: str) -> None:
    """It would refuse to list its models: they are known to the app alone."""
    groq, openai = Listing("groq", ["known"], None), Listing("openai", listed=["llama"])
    names = catalog(openai, groq, aliases={"fast": "groq/llama"}, default=default, transparent="groq")
    assert await meant(names, name) == target
    assert (groq.asked, openai.asked) == (0, 0)


async def test_the_default_takes_no_name_that_begins_like_the_transparent_providers() -> None:
    names = catalog(Listing("openai", listed=None), default="openai/other", transparent="openai")
    assert [await meant(names, name) for name in ("gpt-5", "llama")] == ["openai/gpt-5", "openai/other"]
    assert names.how("gpt-5") == "transparent"


async def test_where_an_upstream_gets_everything_nothing_else_is_listed() -> None:
    both = Listing("openai", ["gpt-5"]), Listing("anthropic", ["claude-a"])
    for upstream, defaults, listed in (
        ("anthropic/claude-x", {}, ["fast", "anthropic/claude-x"]),
        ("claude", {"anthropic": "claude-d"}, ["fast", "anthropic/claude-d"]),
    ):
        there = catalog(*both, aliases={"fast": "openai/gpt-5"}, upstream=upstream, defaults=defaults)
        assert await there.names() == listed
    assert [one.asked for one in both] == [0, 0]
    assert "echo/text" in await catalog(*both, upstream="echo").names()
    with pytest.raises(UnknownModel, match="PILLION_UPSTREAM=openai names no model"):
        await catalog(*both, upstream="openai").names()


async def test_echo_as_the_upstream_keeps_the_name_that_was_asked_for() -> None:
    assert await meant(catalog(Listing("openai", ["gpt-5"]), upstream="echo"), "gpt-5") == "echo/gpt-5"
    assert await meant(catalog(upstream="echo"), "echo/tool") == "echo/tool"
    assert await meant(catalog(upstream="echo/text"), "gpt-5") == "echo/text"
