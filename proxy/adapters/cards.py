"""What does the configuration say of this model: what to add to its requests, and what it can do?"""

from proxy.config import Provider
from proxy.ports import NO_HINTS, UNKNOWN, Abilities, Hints


def hints_of(config: Provider, model: str) -> Hints:
    """What it adds to requests that do not say it themselves."""
    card = config.card(model)
    needed, sampling, like = (None, None, None) if card is None else (card.max_output, card.sampling, card.like)
    temperature = None if sampling == "never" else config.temperature
    unthinking = sampling == "unthinking" and temperature is not None
    hints = Hints(model, config.max_tokens, temperature, needed, config.body, unthinking, like or "")
    return NO_HINTS if hints == Hints(model) else hints


def abilities_of(config: Provider, prefills: bool, model: str) -> Abilities:
    """`prefills`: the provider continues a last turn of the assistant's, if the model does."""
    if (card := config.card(model)) is None:
        return UNKNOWN
    takes = card.system, card.tools, card.images, card.documents, card.thinking
    return Abilities(card.context, card.max_output, *takes, card.prefill if prefills else None)
