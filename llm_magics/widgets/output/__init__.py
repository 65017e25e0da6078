"""What cells put out without script: one style for results, tables, errors and sentences."""
