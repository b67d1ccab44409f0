"""What is the answer to a client that only wants a model to be loaded or unloaded?

Other providers load no models, so there is nothing to ask them. The client gets the answer that Ollama would give.
https://docs.ollama.com/api/generate#load-a-model
"""

from proxy.canon import Event, Finish, Request, Start, Stop
from proxy.dialects.ollama.words import NAME

_NOW = (0, "0", "0s", "0m", "0h")  # a `keep_alive` that ends at once


def loaded(request: Request) -> tuple[Event, ...]:
    """The answer; empty if the request asks for more. (For such a request parse.py makes the empty field a demand.)"""
    if not request.demands.keys() & {"messages", "prompt"}:
        return ()
    word = "unload" if request.extra.get("keep_alive") in _NOW else "load"
    return Start(wire=NAME, model=request.model), Finish(stops=(Stop(reason="other", raw=word),))
