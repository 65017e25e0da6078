"""The notebook's side: magics, completion, display."""
