"""``python -m ensemble`` is the command ``ensemble``, for environments whose scripts are not on the path."""

from ensemble.cli import main

if __name__ == "__main__":
    main()
