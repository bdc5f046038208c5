"""`python -m modelmgmt` is the command `modelmgmt`."""

from modelmgmt.cli import main

if __name__ == "__main__":
    main()
