"""``python -m physml``: the command line, in place or installed."""

from physml.cli import main

if __name__ == "__main__":
    main()
