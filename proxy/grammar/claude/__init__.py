"""What Claude takes, whoever hosts it: Anthropic, Bedrock, Vertex AI."""
