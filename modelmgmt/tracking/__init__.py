"""Runs and experiments: what was tried, with which params, and what came out."""
