"""Settings: values with their origin, keys as references."""
