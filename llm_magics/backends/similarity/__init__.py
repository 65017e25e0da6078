"""Labels by similarity: choices are points in a vector space, and nearness becomes a probability."""
