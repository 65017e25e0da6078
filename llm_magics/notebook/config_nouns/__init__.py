"""What the words after ``%llm_config`` do, a file for each kind of thing they touch."""
