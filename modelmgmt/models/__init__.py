"""Models: packaged, trusted or refused, registered, promoted, rolled back."""
