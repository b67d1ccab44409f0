"""What does the form of a seal tell about its maker?

A seal is opaque, and yet its first bytes are typical of its maker: OpenAI's are Fernet tokens, Anthropic's and Google's
are protocol buffers of two kinds, those of OpenAI's models on Bedrock begin with a word, DeepSeek's are a UUID and a
number. That holds wherever a seal comes from: from before a restart, or from another gateway. Random bytes look like
one of these at most once in a hundred thousand times. A seal that looks like none of them (xAI's look like random
bytes) tells nothing.
"""

import re
from base64 import b64decode

from proxy.grammar.alphabets import in_standard_alphabet

# The makers, as a provider's `seals` names them.
OPENAI, MANTLE, DEEPSEEK, ANTHROPIC, GOOGLE = "openai", "bedrock-mantle", "deepseek", "anthropic", "google"
MAKERS = (OPENAI, MANTLE, DEEPSEEK, ANTHROPIC, GOOGLE)

# Version 0x80 and a time of eight bytes, of which the first three are zero for the next 34,000 years:
# https://github.com/fernet/spec/blob/master/Spec.md
_IN_TEXT = (
    (OPENAI, re.compile(r"gAAAA[\w-]{27}", re.ASCII)),
    (MANTLE, re.compile(r"rsn_\w{8}", re.ASCII)),
    (DEEPSEEK, re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+$", re.ASCII)),
)

# https://protobuf.dev/programming-guides/encoding/: a tag, and behind it a length or a number. Anthropic's hold a few
# numbers first. Google's are encrypted by Tink, whose ciphertexts begin with a 1 and a key's number, and lie a few
# fields deep, with a number before them or without.
_LENGTH = rb"[\x80-\xff]{0,2}[\0-\x7f]"
_IN_BYTES = (
    (ANTHROPIC, re.compile(rb"(?:\x08.)?\x12%b\n%b(?:\x08.[\x10\x18]|\x18.\x12)" % (_LENGTH, _LENGTH), re.DOTALL)),
    (GOOGLE, re.compile(rb"(?:\x12%b)?\n%b(?:\x08.\x12%b)?\x01" % (_LENGTH, _LENGTH, _LENGTH), re.DOTALL)),
)
_BEGINS_SO = ("C", "E")  # the tags of fields 1 and 2, in base64
_HEAD = 24  # characters, which hold what both begin with


def maker_of(seal: str) -> str:
    """One of MAKERS; "" where the form tells nothing."""
    if not seal.startswith(_BEGINS_SO):
        return next((maker for maker, form in _IN_TEXT if form.match(seal)), "")
    try:
        head = b64decode(in_standard_alphabet(seal[:_HEAD]), validate=True)
    except ValueError:
        return ""
    return next((maker for maker, form in _IN_BYTES if form.match(head)), "")
