"""`python -m vsrdb_cli`: the same as `vsrdb`."""

from vsrdb_cli.cli import main

main(prog_name="vsrdb")
