"""`python -m cluster`."""

from cluster.command import main

if __name__ == "__main__":
    main()
