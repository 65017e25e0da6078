"""Text from a template over a row's columns; summaries and translations."""
