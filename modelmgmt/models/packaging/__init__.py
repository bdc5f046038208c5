"""A model as a tree of files: description, signature, example, requirements, code, links."""
