"""``halpbench records``: the schema of the raw records, and an upgrade of old ones."""

import argparse

from halpbench.cli.common import Add, add_results_option, print_json, results, say, warn


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "records",
        _records,
        "examples:\n"
        "  halpbench records schema     JSON Schema of a line of records.jsonl\n"
        "  halpbench records upgrade    rewrite records below RESULTS that have an older one\n\n"
        "Old records are read as they are, so that no upgrade is needed: it is for programs that\n"
        "know the newest schema only. Folders with a line that is not a record are left alone.",
    )
    command.add_argument("what", choices=("schema", "upgrade"))
    add_results_option(command)


def _records(options: argparse.Namespace) -> None:
    from halpbench.bench import schema
    from halpbench.bench.store import stores, upgrade

    if options.what == "schema":
        print_json(schema.json_schema())
        return
    root = results(options)
    upgraded = []
    for part in (root, root / "paper", root / "deep"):
        for store in stores(part):
            with store.locked():
                problems = upgrade(store.raw)
            warn(problems)
            upgraded += [] if problems else [str(store.raw.absolute())]
    if options.json:
        print_json(upgraded)
    else:
        say(f"upgraded: {', '.join(upgraded) or 'nothing'}")
