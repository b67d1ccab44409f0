"""What do the dialects have in common?

Each module serves at least two wires, and imports no dialect. What Claude takes is in `claude`. The request:

    fields        JSON that somebody else wrote, checked
    counts        tokens that somebody else counted, likewise
    named         the model and `stream`, where the body says them
    functions     tools in OpenAI's shape
    offers        tools that were called, and are on offer no more
    arguments     a call's arguments, as text or as an object
    searching     web searches that the provider runs
    shapes        schemas for models that are held to them
    roots         those whose root is a choice, as one object
    gpt           which knobs OpenAI's models take
    openai        what OpenAI's two wires say alike
    thinking      the limit of the answer, and the thoughts in it
    knobs         what they are where nobody turns them
    receipts      what the target cannot say, and is left out
    refusals      what it cannot say, and is refused
    neighbours    the assistant's turns, joined
    dataurls      bytes within a URL
    alphabets     base64 in either of its alphabets
    filetypes     media types, by the first bytes
    textual       documents that are text
    showing       images in a tool's result
    caching       cache points, of Claude's and of OpenAI's
    pages         a page of a list

The answer:

    sentence      events that wait to be handed on
    whole         answers that come in one piece
    single        wires with one choice, and one block at a time
    gathering     all that a block has said
    annotations   citations in OpenAI's two wires
    moderation    what these have found in request and answer
    ids           ids where the provider gives none
    endings       why an answer ended
    choices       whether every choice has ended
    watching      the events that a meter must read
    repeats       events that differ in one string
    halves        JSON with half of a surrogate pair

Errors:

    nouns         what the parts of a conversation are called
    statuses      the HTTP status
    worded        the message, wherever it stands
    complaints    what it means
    overflow      a conversation that is too long
    repeating     a provider's message, without keys
    mirrored      the same for the log, without what the client has said
"""
