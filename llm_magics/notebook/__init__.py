"""The notebook's side: magics, completion, what a cell shows."""
