"""Several labellers as one: log-scores added, slow members asked only where quick ones are unsure."""
