"""What every other folder uses: requests, responses, parameters, errors, token counts, rate limits."""
