"""One run of a task over a frame's rows: plan, estimate, execution, results."""
