from vsrdb_cli.cli import main

main()
