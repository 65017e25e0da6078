"""The steps of concept induction: distill, cluster, synthesize, review, score, summarize."""
