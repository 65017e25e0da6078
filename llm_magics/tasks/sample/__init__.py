"""Gold samples: rows drawn by a known design, for a person to label."""
