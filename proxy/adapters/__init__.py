"""How is each provider reached?

Every adapter knows one provider's host, credentials and paths, and translates nothing:

    http        what all of them share
    cards       what the configuration says of a model
    keys        whose turn it is among several keys
    listing     which models a provider has listed
    openai      OpenAI, and every compatible host
    azure       Azure OpenAI
    anthropic   Anthropic
    cohere      Cohere
    ollama      Ollama, which may be assumed, and may pull models

In folders of their own: bedrock (Amazon Bedrock), google (the Gemini API and Vertex AI), echo (the offline provider).
"""
