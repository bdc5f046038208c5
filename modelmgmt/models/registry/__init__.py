"""Registered models: versions, stages, aliases, promotion, gates, history. Rows follow from chained events."""
