"""The kernel: objects, series and records in one folder. It knows how to keep things, never what they mean."""
