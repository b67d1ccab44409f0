"""What does Claude take, whoever hosts it: Anthropic, Bedrock or Vertex AI?"""
