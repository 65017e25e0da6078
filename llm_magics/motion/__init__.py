"""Motion: requests into results, on one loop, within limits, each answer kept."""
