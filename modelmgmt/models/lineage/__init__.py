"""What came from what, both ways."""
