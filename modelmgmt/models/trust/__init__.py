"""Whether bytes may run, and reading those that may not: keys, signatures, pickles on paper, a restricted reader."""
