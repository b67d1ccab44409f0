"""Is what a vendor says only in a sentence understood: an empty account, a key that is none, a model that cannot?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.config import Retry
from proxy.errors import UpstreamError
from proxy.failover.retries import verdict
from proxy.grammar.complaints import understand
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.recordings import body as recorded_body


def understood(wire: str, status: int, said: Any, **headers: str) -> UpstreamError:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    error = registry.dialect(wire).decode_error(status, headers, body)
    understand(error)
    return error


def judged(error: UpstreamError) -> tuple[str, str, bool, bool]:
    again, elsewhere, _ = verdict(error, Retry().retryable_errors, 0.0)
    return error.code, error.kind, again, elsewhere


SPENT = ("insufficient_quota", "quota_exceeded", False, True)
SPENT_ON_MODEL = ("model_quota_exceeded", "quota_exceeded", False, True)
NO_KEY = ("invalid_api_key", "authentication", False, True)
TOO_LONG = ("context_length_exceeded", "invalid_request", False, True)
TOO_LARGE = ("request_too_large", "invalid_request", False, True)
NO_MODEL = ("model_not_found", "invalid_request", False, True)
UNABLE = ("model_unable", "invalid_request", False, True)
LOCATION = ("unsupported_location", "invalid_request", False, True)
BUSY = ("rate_limit_exceeded", "rate_limit", True, True)
FLAGGED = ("content_filter", "invalid_request", False, False)

# As the vendors' documentation and their users' reports have them; xAI's texts stand beside a code that says nothing.
SAID = [
    (SPENT, "anthropic", 400, "Your credit balance is too low to access the Anthropic API. Please go to Plans."),
    (
        SPENT,
        "anthropic",
        400,
        "You have reached your specified API usage limits. You will regain access on 2026-04-01.",
    ),
    (SPENT, "openai_chat", 403, "Your newly created team doesn't have any credits or licenses yet."),
    (SPENT, "openai_chat", 429, "Your team 1-2 has either used all available credits or reached its spending limit."),
    (SPENT_ON_MODEL, "bedrock", 429, "Too many tokens per day, please wait before trying again."),
    (NO_KEY, "openai_chat", 400, "Incorrect API key provided: xa***ij. You can obtain an API key from console.x.ai."),
    (NO_KEY, "anthropic", 400, "This organization has been disabled."),
    (TOO_LONG, "anthropic", 400, "prompt is too long: 205000 tokens > 200000 maximum"),
    (
        TOO_LONG,
        "anthropic",
        400,
        "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000, decrease",
    ),
    (
        TOO_LONG,
        "gemini",
        400,
        "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).",
    ),
    (TOO_LONG, "gemini", 400, "The input token count exceeds the maximum number of tokens allowed 1048576."),
    (TOO_LONG, "bedrock", 400, "Input is too long for requested model."),
    (
        TOO_LONG,
        "bedrock",
        400,
        "The model returned the following errors: Input Tokens Exceeded: Number of input tokens",
    ),
    (TOO_LONG, "openai_chat", 400, "This model's maximum context length is 4096 tokens. However, you requested 5000"),
    (
        TOO_LONG,
        "openai_chat",
        400,
        "This endpoint's maximum context length is 8192 tokens. However, you requested about",
    ),
    (
        TOO_LONG,
        "openai_chat",
        400,
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    ),
    (TOO_LONG, "openai_chat", 400, "'max_tokens' is too large: 9. This model's maximum context length is 8 tokens"),
    (TOO_LONG, "openai_chat", 400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768"),
    (TOO_LONG, "openai_chat", 422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097."),
    (TOO_LONG, "openai_chat", 400, "Your input exceeds the context window of this model. Please adjust your input."),
    (TOO_LONG, "openai_chat", 400, "the request exceeds the available context size, try increasing it"),
    (TOO_LONG, "openai_chat", 400, "request (4390 tokens) exceeds the available context size (4096 tokens), try"),
    (
        TOO_LONG,
        "cohere",
        400,
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
    ),
    (
        TOO_LONG,
        "cohere",
        400,
        "too many tokens: size limit exceeded by 19296 tokens. Try using shorter or fewer inputs. The limit for this",
    ),
    (TOO_LONG, "ollama", 400, "the input length exceeds the context length"),
    (
        TOO_LARGE,
        "anthropic",
        400,
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6096280 bytes > 5242880 bytes",
    ),
    (
        TOO_LARGE,
        "anthropic",
        400,
        "messages.70.content.1.image.source.base64.data: At least one of the image dimensions exceed max allowed size"
        " for many-image requests: 2000 pixels",
    ),
    (
        TOO_LARGE,
        "anthropic",
        400,
        "messages.1.content.22.pdf.source.base64.data: A maximum of 600 PDF pages may be provided.",
    ),
    (TOO_LARGE, "bedrock", 400, "The model returned the following errors: A maximum of 100 PDF pages may be provided."),
    (TOO_LARGE, "gemini", 400, "Request payload size exceeds the limit: 20971520 bytes."),
    (
        TOO_LARGE,
        "openai_chat",
        400,
        "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 129"
        " instead.",
    ),
    (NO_MODEL, "bedrock", 400, "The provided model identifier is invalid."),
    (NO_MODEL, "bedrock", 400, "Invocation of model ID a.b-v1:0 with on-demand throughput isn\u2019t supported. Retry"),
    (NO_MODEL, "openai_chat", 400, "foo/bar is not a valid model ID"),
    (NO_MODEL, "openai_chat", 404, "The model `foo` does not exist."),
    (NO_MODEL, "openai_chat", 400, "Model Not Exist"),
    (NO_MODEL, "anthropic", 404, "model: claude-9"),
    (NO_MODEL, "gemini", 404, "models/gemini-9 is not found for API version v1beta, or is not supported for generate"),
    (NO_MODEL, "gemini", 404, "This model models/gemini-1.5-pro is no longer available. Please update your code"),
    (NO_MODEL, "gemini", 404, "Publisher Model `projects/p/locations/l/publishers/google/models/m` was not found or"),
    (NO_MODEL, "bedrock", 404, "Could not resolve the foundation model from the provided model identifier."),
    (NO_MODEL, "bedrock", 404, "This model version has reached the end of its life. Please refer to the AWS docs"),
    (NO_MODEL, "cohere", 404, "model 'command-x' not found, make sure the correct model ID was used"),
    (NO_MODEL, "cohere", 404, "model 'command-x' was removed on September 15, 2025"),
    (SPENT, "openai_chat", 402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"),
    (SPENT, "cohere", 402, "Please add or update your payment method."),
    (UNABLE, "ollama", 400, "registry.ollama.ai/library/gemma:2b does not support tools"),
    (UNABLE, "ollama", 400, "this model does not support image input (ref: b8bd630e-4a39-4b57-82af-9158ee9d5703)"),
    (UNABLE, "openai_chat", 400, "Model do not support image input. Request id: 0217888847201586"),
    (
        UNABLE,
        "openai_chat",
        400,
        "Failed to deserialize the JSON body into the target type: messages[137]: unknown variant `image_url`, expected"
        " `text` at line 1 column 12345",
    ),
    (UNABLE, "bedrock", 400, "This model doesn't support tool use."),
    (UNABLE, "bedrock", 400, "The provided model doesn't support counting tokens."),
    (LOCATION, "gemini", 400, "User location is not supported for the API use."),
    (FLAGGED, "openai_chat", 403, 'openai/gpt-4 requires moderation on OpenAI. Your input was flagged for "violence".'),
]


def spelled(wire: str, status: int, message: str) -> Any:
    match wire:
        case "anthropic":
            return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        case "gemini":
            return {"error": {"code": status, "message": message, "status": "FAILED_PRECONDITION"}}
        case "ollama":
            return {"error": message}
        case "openai_chat":
            return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
        case _:
            return {"message": message}


@pytest.mark.parametrize(("due", "wire", "status", "message"), SAID, ids=[message[:40] for *_, message in SAID])
def test_what_a_vendor_says_in_a_sentence(due: object, wire: str, status: int, message: str) -> None:
    assert judged(understood(wire, status, spelled(wire, status, message))) == due


@pytest.mark.parametrize(
    ("due", "status", "named"),
    [
        (SPENT, 400, {"code": "billing_hard_limit_reached"}),
        (BUSY, 498, {"code": "capacity_exceeded"}),
        (TOO_LONG, 400, {"type": "too_many_prompt_tokens"}),
        (TOO_LONG, 400, {"type": "exceed_context_size_error", "code": 400}),
        (TOO_LARGE, 400, {"code": "image_too_large"}),
        (NO_MODEL, 400, {"code": "model_not_found"}),
        (NO_MODEL, 400, {"code": "model_decommissioned"}),
        (NO_MODEL, 400, {"type": "invalid_model", "code": "1500"}),
    ],
    ids=str,
)
def test_what_a_host_has_a_word_for(due: object, status: int, named: dict[str, Any]) -> None:
    assert judged(understood("openai_chat", status, {"error": {"message": "No.", **named}})) == due


def test_what_xai_says_of_a_key_was_recorded_so() -> None:
    [row] = [row for row in recordings.load("xai.*") if row["status"] == 400]
    assert judged(understood("openai_chat", 400, recorded_body(row))) == NO_KEY


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'Your credit balance is too low'.",
        "messages.0: Incorrect API key provided",
        "tools.0.name: the word 'prompt is too long: 9' is not allowed",
        "messages: at least one message is required",
    ],
)
def test_what_a_client_wrote_and_a_vendor_repeats_means_nothing(message: str) -> None:
    error = understood("openai_chat", 400, spelled("openai_chat", 400, message))
    assert judged(error) == ("upstream_refused", "invalid_request", False, False)


def test_a_limit_of_a_minute_is_no_empty_account() -> None:
    error = understood("bedrock", 429, spelled("bedrock", 429, "Too many tokens, please wait before trying again."))
    assert judged(error) == BUSY


def test_bedrocks_name_for_an_empty_account() -> None:
    headers = {"x-amzn-errortype": "ServiceQuotaExceededException"}
    assert judged(understood("bedrock", 400, {"message": "Your request exceeds your quota."}, **headers)) == SPENT


async def test_an_empty_account_has_another_target_asked_and_its_key_rests(tmp_path: Any) -> None:
    refused = Scenario(status=400, body=json.dumps(spelled("anthropic", 400, SAID[0][3])).encode())
    async with Evil(refused) as empty, Evil(Scenario(body=OPENAI.whole)) as full:
        text = (
            f"providers: {{a: {{kind: anthropic, base_url: '{empty.url}', api_key: one-key-of-many}},"
            f" b: {{kind: openai, base_url: '{full.url}/v1', api_key: another-key-of-many}}}}\n"
            "routes: {r: {targets: [a/m, b/m]}}"
        )
        async with pillion(**config_file(text, tmp_path)) as gateway:
            answer = await chat(gateway, OPENAI, OPENAI.request(model="r"))
            assert answer.status == 200
            assert gateway.app.now.adapters["a"].keys.counts() == {"count": 1, "cooling": 1, "failed": 0}


async def test_who_has_no_other_target_reads_it_in_the_providers_own_words(tmp_path: Any) -> None:
    body = json.dumps(spelled("anthropic", 400, SAID[8][3])).encode()
    async with Evil(Scenario(status=400, body=body)) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        answer = await chat(gateway, OPENAI, OPENAI.request(model="anthropic/m"))
        assert answer.status == 400
        assert OPENAI.error(answer.body)["code"] == "context_length_exceeded"
