"""What a notebook shows of results and of errors."""
