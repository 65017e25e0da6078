"""Review of labels by a person: gold labels, corrections, the widget."""
