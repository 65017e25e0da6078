"""The default that needs no key and no network: labels and embeddings from word vectors."""
