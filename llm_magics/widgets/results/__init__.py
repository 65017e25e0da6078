"""The result of a run as HTML without script: shares, failures, rows; it needs no kernel and no network."""
