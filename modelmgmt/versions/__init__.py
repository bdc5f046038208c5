"""What made a run: code, data, environment, each kept once, found again, compared."""
