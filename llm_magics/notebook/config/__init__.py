"""``%llm_config``: settings, backends, keys, caches, profiles."""
