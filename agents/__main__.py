"""`python -m agents` is the command `gridbazaar`."""

from agents.cli import main

if __name__ == "__main__":
    main()
