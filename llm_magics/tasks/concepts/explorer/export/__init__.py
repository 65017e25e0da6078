"""The explorer as one HTML file that opens without a network: map, search, documents."""
