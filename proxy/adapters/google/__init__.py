"""Google's two APIs: Gemini, which works with keys, and Vertex AI, which has projects and other publishers' models."""
