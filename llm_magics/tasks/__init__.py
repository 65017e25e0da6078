"""What a person asks for: a folder a subcommand, with its prompt, parsing, plan, columns and options."""
