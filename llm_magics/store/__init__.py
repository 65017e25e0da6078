"""What is kept on disk: responses of models and gold labels of people, in SQLite."""
