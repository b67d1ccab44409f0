"""Google's two houses: the Gemini API, which knows keys, and Vertex AI, which knows projects and other publishers."""
