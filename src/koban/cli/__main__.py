"""`python -m koban.cli`: the command line where the script is not on the path."""

from koban.cli import main

if __name__ == "__main__":
    main()
