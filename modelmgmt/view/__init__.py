"""Tables, plots and reports. This room draws; it never computes and never writes to a store."""
