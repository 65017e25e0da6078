"""Import paths that version 0.1.0 documented: ``llm_magics.types`` is found here, and so on."""
