"""The `breadth` command: which verbs there are, and how an error ends.

A verb's file is imported only when the verb is called, and the argument parser only when there is something to parse,
so that `breadth --help` costs no more than Python's own start.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence

from breadth import __version__

VERBS = {  # name: (where it is written, what it does)
    "compare": ("breadth.cli.compare:compare", "Put methods side by side on embedded data or on your own file."),
    "report": ("breadth.cli.report:report", "Turn stored comparisons into one HTML page."),
    "ls": ("breadth.cli.ls:ls", "List the canon: what is finished, served by a library, planned."),
    "show": ("breadth.cli.show:show", "Explain one row of the canon: docstring, source, peer, test, errata."),
    "tokenizer": ("breadth.cli.tokenizer:tokenizer", "Train, use and look into tokenizers."),
    "generate": ("breadth.cli.generate:generate", "Continue a prompt with a language model from a folder."),
    "model": ("breadth.cli.model:model", "What language models cost, and where two of them differ."),
    "warmup": ("breadth.cli.warmup:warmup", "Compile every kernel now instead of at first use."),
}

USER_ERROR = 2  # exit status for what the caller can mend; also argparse's and most shells' convention


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        argv: arguments without the program's name; None takes them from `sys.argv`.

    Returns:
        0 after success, 2 after an error that the caller can mend (one line on stderr; `--debug` or BREADTH_DEBUG=1
        shows the traceback as well), 130 after an interrupt, or what the verb returned.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("BREADTH_DEBUG", "0") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments in ([], ["--help"], ["-h"]):
        print(overview())
        return 0
    if arguments == ["--version"]:
        print(__version__)
        return 0
    try:
        _check_verb(arguments[0])
        return _run(arguments)
    except KeyboardInterrupt:
        print("breadth: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `breadth ls | head`: the reader has gone, and Python's last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, KeyError, ImportError) as error:
        if debug or not _meant_for_the_caller(error):
            raise
        print(f"breadth: error: {_message(error)}", file=sys.stderr)
        return USER_ERROR


def overview() -> str:
    """What `breadth --help` prints."""
    verbs = "\n".join(f"  {name:<9} {summary}" for name, (_, summary) in VERBS.items())
    return f"""\
Usage: breadth VERB [ARGUMENTS]

The machine-learning canon as working parts: readable, checked against independent peers, and fast.

Verbs:
{verbs}

Options:
  --help     This page; after a verb, that verb's own.
  --version  The version.
  --debug    Show the traceback of an error."""


def _run(arguments: list[str]) -> int:
    from cyclopts import App, CycloptsError

    # plain text help: parsing Markdown would cost half of the start
    app = App(
        name="breadth",
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, (where, summary) in VERBS.items():
        app.command(where, name=name, help=summary)
    try:
        result = app(arguments, exit_on_error=False, print_error=True)
    except CycloptsError:  # already printed, with the usage it belongs to
        return USER_ERROR
    return result if isinstance(result, int) else 0


def _check_verb(name: str) -> None:
    """Refuse an unknown verb here: to suggest another, the parser would import every one of them."""
    if name in VERBS:
        return
    close = difflib.get_close_matches(name, VERBS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the verbs are {', '.join(VERBS)}"
    raise ValueError(f"the first argument must be a verb, not {name!r}; {hint}")


def _message(error: Exception) -> str:
    """One line: without the quotes of str(KeyError), and with the import that failed rather than who asked for it."""
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):
        error = error.__cause__
    text = error.args[0] if isinstance(error, KeyError) else error
    return " ".join(str(text).split())


def _meant_for_the_caller(error: Exception) -> bool:
    """Whether the message was written for people: a bare `KeyError: 'x'` is a slip of ours and keeps its traceback."""
    return not isinstance(error, KeyError) or (bool(error.args) and " " in str(error.args[0]))


if __name__ == "__main__":
    sys.exit(main())
