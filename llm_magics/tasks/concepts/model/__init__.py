"""The set of concepts: edits with undo, scores, slices, files. No language model is used here."""
