"""What does a recorded answer say, read plainly and with nothing of pillion's?

One small reader for each provider's wire: json.loads, and a walk over what came of it.
"""

from collections.abc import Callable

from tests.conformance.readings import anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses
from tests.conformance.told import Told, Wire
from tests.recordings import Row

READERS: dict[Wire, Callable[[Row], Told]] = {
    "openai_chat": openai_chat.read,
    "openai_responses": openai_responses.read,
    "anthropic": anthropic.read,
    "gemini": gemini.read,
    "bedrock": bedrock.read,
    "bedrock_invoke": bedrock.read_invoked,
    "bedrock_native": bedrock.read_native,
    "ollama": ollama.read,
    "ollama_generate": ollama.read,
    "cohere": cohere.read,
}
