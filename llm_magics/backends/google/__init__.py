"""Gemini by key and on Vertex AI, through google-genai."""
