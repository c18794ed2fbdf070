"""``halpbench records``: the schema of the raw records, the upgrade of old ones, compression."""

import argparse
from pathlib import Path

from halpbench.cli.common import Add, add_results_option, print_json, results, say, warn


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "records",
        _records,
        "examples:\n"
        "  halpbench records schema     JSON Schema of a line of records.jsonl\n"
        "  halpbench records upgrade    rewrite records below RESULTS that have an older one\n"
        "  halpbench records pack       compress them, as they are kept in git\n\n"
        "Old records are read as they are, so that no upgrade is needed: it is for programs that\n"
        "know the newest schema only. Packed records are read and continued like others; upgrade\n"
        "unpacks them. pack compresses runs of pytest-benchmark as well, which `xz -d` has to\n"
        "unpack. Folders with a line that is not a record are left alone.",
    )
    command.add_argument("what", choices=("schema", "upgrade", "pack"))
    add_results_option(command)


def _records(options: argparse.Namespace) -> None:
    from halpbench.bench import schema

    if options.what == "schema":
        print_json(schema.json_schema())
        return
    root = results(options)
    packed = options.what == "pack"
    written = _rewrite(root, packed=packed) + (_pack_kernels(root) if packed else [])
    paths = [str(path.absolute()) for path in written]
    if options.json:
        print_json(paths)
    else:
        say(f"{options.what}{'ed' if packed else 'd'}: {', '.join(paths) or 'nothing'}")


def _rewrite(root: Path, *, packed: bool) -> list[Path]:
    """Write each folder of records as one file; return the folders."""
    from halpbench.bench.store import rewrite, stores

    written = []
    for part in (root, root / "paper", root / "deep"):
        for store in stores(part):
            with store.locked():
                problems = rewrite(store.raw, packed=packed)
            warn(problems)
            written += [] if problems else [store.raw]
    return written


def _pack_kernels(root: Path) -> list[Path]:
    """Compress the runs of pytest-benchmark; return the files."""
    from halpbench.bench.files import write_atomic
    from halpbench.bench.store import PACKED_SUFFIX, pack

    written = []
    for path in sorted((root / "kernels").glob("*/*/*.json")):
        written.append(path.with_name(path.name + PACKED_SUFFIX))
        write_atomic(written[-1], pack(path.read_bytes()))
        path.unlink()
    return written
