"""Options of magics and Python functions, each declared once, and the parser of a magic's line."""
