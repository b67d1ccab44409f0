"""With which values does a knob ask for what is so anyway?

A wire, or a model, that lacks the knob loses nothing then, and the receipt does not name it.
"""

Knobs = dict[str, tuple[object, ...]]  # each with those values

_IDLE: Knobs = {
    "temperature": (1,),
    "top_p": (1,),
    "top_k": (),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "seed": (),
    "stop": ([],),
    "parallel_tools": (True,),
    "betas": ([],),
    "user": (),
    "safety_identifier": (),
    "metadata": ({},),
    "store": (False,),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "obfuscation": (False,),
    "verbosity": ("medium",),  # OpenAI's own default
    "service_tier": ("auto", "default"),
}


# The same of fields that only one wire knows, wherever they stand: by their own name.
IDLE_FIELDS: Knobs = {
    "speed": ("standard",),
    "mcp_servers": ([],),
    "input_examples": ([],),
    "inference_geo": ("global",),
    "defer_loading": (False,),
    "allowed_callers": (["direct"],),
    "eager_input_streaming": (False,),
    "background": (False,),
    "truncation": ("disabled",),
    "documents": ([],),
    "promptVariables": ({},),
    "additionalModelResponseFieldPaths": ([],),
    "performanceConfig": ({"latency": "standard"},),
    "behavior": ("BLOCKING",),
    "audioTimestamp": (False,),
    "streamFunctionCallArguments": (False,),
    "mediaResolution": ("MEDIA_RESOLUTION_UNSPECIFIED",),
    "enable_search": (False,),
    "serviceTier": ("", "unspecified", "SERVICE_TIER_UNSPECIFIED"),
    "responseModalities": (["MODALITY_UNSPECIFIED"],),
    "cachedContent": ("",),
    "continuationToken": ("",),
    "responseMimeType": ("",),
    "enableEnhancedCivicAnswers": (False,),
    "includeServerSideToolInvocations": (False,),
    "truncate": (True,),
    "shift": (True,),
    "template": ("",),
    "suffix": ("",),
    "context": ([],),
    "_debug_render_only": (False,),
    "type": ("function",),  # of a call, as OpenAI's has it and Ollama's has not
    "tool_calls": ([],),  # of a message that is not the assistant's, as the next five
    "tool_call_id": ("",),
    "tool_name": ("",),
    "tool_plan": ("",),
    "thinking": ("",),
    "citations": ([],),
    "safety_mode": ("CONTEXTUAL",),
    "strict_tools": (False,),
    "raw_prompting": (False,),
    "priority": (0,),
    "num_predict": (-1, -2),  # no limit but the model's own
    "repeat_penalty": (1,),  # this and the next four: samplers of Ollama's that are switched off
    "min_p": (0,),
    "tfs_z": (1,),
    "typical_p": (1,),
    "mirostat": (0,),
}


def knobs(names: str) -> Knobs:
    """Those of these names."""
    return {name: _IDLE[name] for name in names.split()}
