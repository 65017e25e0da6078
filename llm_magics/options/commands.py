"""The subcommands of ``%%llm``: one table drives parsing, help, completion and the reference page."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.parameters import KNOWN
from llm_magics.options import synonyms
from llm_magics.options.line_parser import LineParser, command, parameter, split, unsilenced

Body: TypeAlias = Literal["none", "optional"]
FORMATS = ("table", "df", "md", "json", "text", "widget")


@dataclass(frozen=True)
class Command:
    """One subcommand: ``line`` adds its flags, ``body`` says whether a cell body is read."""

    name: str
    help: str
    body: Body
    line: Callable[[LineParser], None]
    data: bool = True

    @cached_property
    def parser(self) -> LineParser:
        """The parser of its line."""
        magic = "%llm" if self.body == "none" else "%%llm"
        parser = LineParser(f"{magic} {self.name}", self.help)
        parser.instead.update(synonyms.flags())
        if self.data:
            parser.add_argument(
                "data", nargs="?", metavar="DATA", help="a frame, Series or list: reviews, reviews.text"
            )
        elif self.body != "none":
            parser.surplus = "The text goes in the cell's body, under the line."
        self.line(parser)
        return parser


@dataclass(frozen=True)
class Call:
    """A magic as it was typed: the subcommand, its values, its body (None for a line magic)."""

    command: Command
    values: Namespace
    body: str | None

    @property
    def parameters(self) -> dict[str, Any]:
        """``-p`` flags as a mapping; the last one of a name counts."""
        return dict(self.values.parameters or [])


def parse(line: str, body: str | None = None) -> Call:
    """What was typed after ``%llm`` or ``%%llm``.

    A cell whose line is empty, or starts with a flag, is a ``chat``. Raises NotFound for an unknown
    subcommand, UsageError for a body that is missing or not read, parser.HelpAsked for ``-h``. A
    semicolon at the end of a line magic hides its value, as it does after an expression: ``-q``.
    """
    line, hidden = unsilenced(line) if body is None else (line, False)
    words = split(line)
    if body is not None and (not words or words[0].startswith("-")) and words[:1] not in (["-h"], ["--help"]):
        words = ["chat", *words]
    if not words or words[0] in ("-h", "--help"):
        words, body = ["help"], None
    chosen = _chosen(words[0])
    values = chosen.parser.parse_line(words[1:])
    if body is not None and body.strip() and chosen.body == "none":
        raise UsageError(
            f"{chosen.name} reads no cell body.", hint=f"Type it on one line: %llm {line.strip()}"
        )
    if hidden and hasattr(values, "quiet"):
        values.quiet = True
    return Call(chosen, values, body)


def _chosen(word: str) -> Command:
    """The subcommand. Raises NotFound with what other tools' word for it is here, or the near ones."""
    name, meant = ALIASES.get(word, word), synonyms.subcommand(word)
    if name not in COMMANDS and meant:
        raise NotFound(f"no %llm command {word!r}.", hint=f"Here it is {meant}.\nSee %llm help")
    return COMMANDS[command(name, [*COMMANDS, *ALIASES], "%llm")]


def _rows(p: LineParser) -> None:
    p.add_argument("--on", metavar="COL", help="the column of the text")
    p.add_argument(
        "--where", metavar="EXPR", help='only rows where this is true: "stars <= 2"; others pass as null'
    )
    p.add_argument("--head", type=_count, metavar="N", help="only the first N rows")
    p.add_argument("--sample", type=_count, metavar="N", help="only N rows drawn by chance")
    p.add_argument(
        "--random-state", type=int, default=0, metavar="S", help="seeds all chance in the run (default 0)"
    )


def _result(p: LineParser) -> None:
    p.add_argument("-o", "--into", metavar="NAME", help="bind the result to this name, on success only")
    p.add_argument("--inplace", action="store_true", help="add the columns to your own frame")
    p.add_argument("--as", dest="output", metavar="COL", help="name of the new column")
    _show(p)


def _show(p: LineParser) -> None:
    p.add_argument("-f", "--format", choices=FORMATS, default=None, help="how to show the result")
    p.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")


def _model(p: LineParser) -> None:
    p.add_argument(
        "-m", "--model", metavar="NAME", help="registered name, alias, namespace::model; a,b for both"
    )
    p.add_argument(
        "-p",
        dest="parameters",
        action="append",
        type=parameter,
        metavar="K=V",
        help="temperature=0.2, repeatable",
    )
    p.instead.update({f"--{name.replace('_', '-')}": f"Type -p {name}=VALUE" for name in KNOWN})
    p.instead.update(dict.fromkeys(("--key", "--api-key"), "A key belongs to a backend: %llm_config add -h"))


def _long(p: LineParser) -> None:
    p.add_argument(
        "--too-long",
        choices=("truncate", "split", "fail"),
        default=None,
        help="rows the model can't read whole",
    )
    p.add_argument("--room", type=_count, metavar="TOKENS", help="tokens of a row's text at most")


def _together(p: LineParser) -> None:
    p.add_argument("--rows-per-request", type=_count, metavar="N", help="N rows share a request (default 1)")


def _limits(p: LineParser) -> None:
    p.add_argument("--max-cost", type=_sum, metavar="USD", help="stop before this is passed")
    p.add_argument("--yes", action="store_true", help="go on although the estimate is high")
    p.add_argument("--concurrency", type=_count, metavar="N", help="requests in flight")
    p.add_argument("--rpm", type=_rate, metavar="N", help="requests a minute")
    p.add_argument("--tpm", type=_rate, metavar="N", help="tokens a minute")
    p.add_argument("--retries", type=_times, metavar="N", help="tries after a fault that may pass")
    p.add_argument(
        "--on-error", choices=("null", "raise"), default=None, help="a failed row is null, or stops the run"
    )


def _motion(p: LineParser) -> None:
    p.add_argument(
        "-n", "--dry-run", action="store_true", help="rows, tokens, cost, first prompt; sends nothing"
    )
    p.add_argument("--refresh", action="store_true", help="ask again although answers are stored")
    p.add_argument("--no-store", action="store_true", help="keep no answer on disk")
    p.add_argument("-b", "--background", action="store_true", help="return at once with a job")
    p.add_argument("--show-code", action="store_true", help="the same as Python, sends nothing")


def common(p: LineParser) -> None:
    """The flags of everything that runs over rows."""
    for part in (_rows, _result, _model, _long, _limits, _motion):
        part(p)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _times(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _sum(text: str) -> float:
    amount = _float(text)
    if not amount >= 0:
        raise ArgumentTypeError(f"{text!r} is not an amount, 0 or more")
    return amount


def _rate(text: str) -> float:
    rate = _float(text)
    if not rate > 0:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return rate


def _float(text: str) -> float:
    """A number; not one where the text is none, so that every comparison fails."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _names(text: str) -> list[str]:
    """``a,b``; also ``[a,b]``, what is left of a Python list once the line was split into words."""
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("[]", "()"):
        bare = bare[1:-1]
    return [name for part in bare.split(",") if (name := part.strip().strip("'\""))]


def _label(p: LineParser) -> None:
    p.add_argument("--labels", type=_names, metavar="A,B", help="the labels, instead of a body")
    p.add_argument("--labels-from", metavar="COL|VAR", help="labels from a column or a notebook variable")
    p.add_argument("--propose", type=_count, metavar="N", help="let the model propose at most N labels first")
    p.add_argument("--multi", action="store_true", help="all labels that apply")
    p.add_argument("--max-labels", type=_count, metavar="K", help="at most K labels a row")
    p.add_argument("--none", metavar="NAME", help='a label for "none of these"')
    p.add_argument(
        "--default", metavar="null|NAME|random", help="what an unusable answer becomes (default null)"
    )
    p.add_argument("--explain", action="store_true", help="a reason beside each label")
    p.add_argument("--explain-after", action="store_true", help="the label first, then its reason")
    p.add_argument("--scores", action="store_true", help="a probability column per label")
    p.add_argument("--wide", action="store_true", help="a true/false column per label")
    p.add_argument("--truth", metavar="COL", help="a column of true labels: accuracy, F1, confusion")
    _depth(p)
    _together(p)
    common(p)


def _depth(p: LineParser) -> None:
    p.add_argument("--examples", metavar="FRAME:TEXT,LABEL", help="labelled rows to show in the prompt")
    p.add_argument("--k", type=_count, metavar="N", help="how many (default: 2 a label; 8 with --dynamic)")
    p.add_argument("--dynamic", action="store_true", help="each row's nearest examples, by embeddings")
    p.add_argument("--votes", type=_count, metavar="N", help="N samples a row; the majority is the label")
    p.add_argument("--calibrate", action="store_true", help="correct the chances, by --truth or by bias")
    p.add_argument("--agree", type=float, metavar="SHARE", help="let a cheap labeller take the sure rows")
    p.add_argument("--sure", type=float, metavar="P", help="how sure --agree has to be (default 0.9)")
    p.add_argument(
        "--with",
        dest="cheap",
        metavar="MODEL",
        help="embedding model of --dynamic and --agree; for --agree also a small model",
    )


def _extract(p: LineParser) -> None:
    p.add_argument("--many", action="store_true", help="a row per record that the text holds")
    p.add_argument("--spans", action="store_true", help="entities with their places in the text")
    p.add_argument("--schema", metavar="NAME", help="a pydantic model of the notebook, instead of a body")
    _together(p)
    common(p)


def _summarize(p: LineParser) -> None:
    p.add_argument("--max-words", type=_count, metavar="N", help="at most N words")
    p.add_argument("--focus", metavar="TEXT", help="what to attend to above all")
    _together(p)
    common(p)


def _translate(p: LineParser) -> None:
    p.add_argument("--to", metavar="LANGUAGE", help="into which language")
    _together(p)
    common(p)


def _judge(p: LineParser) -> None:
    p.add_argument("--context", metavar="COL", help="a column shown beside the text")
    p.add_argument("--scale", type=_scale, metavar="LOW-HIGH", help="the scale of ratings (default 1-5)")
    _together(p)
    common(p)


def _scale(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not LOW-HIGH such as 1-5")
    return int(low), int(high)


def _generate(p: LineParser) -> None:
    p.add_argument(
        "-N", "--num-generations", type=_count, default=1, metavar="N", help="generations a row (default 1)"
    )
    p.add_argument("--long", action="store_true", help="a row per generation")
    p.add_argument("--system", metavar="NAME|TEXT", help="system message: a notebook variable or a text")
    p.add_argument("--stop", action="append", metavar="S", help="stop before this text, repeatable")
    _together(p)
    common(p)


def _chat(p: LineParser) -> None:
    p.add_argument(
        "--context",
        metavar="NAME[:ROWS]",
        action="append",
        help="show the model this frame's columns and rows",
    )
    p.add_argument("--continue", dest="go_on", action="store_true", help="go on with the last conversation")
    p.add_argument("--thread", metavar="NAME", help="go on with the conversation of this name")
    p.add_argument("--system", metavar="NAME|TEXT", help="system message: a notebook variable or a text")
    p.add_argument("-o", "--into", metavar="NAME", help="bind the answer to this name")
    _show(p)
    _model(p)
    _limits(p)
    _motion(p)


def _review(p: LineParser) -> None:
    p.add_argument("--on", metavar="COL", help="the column of the text")
    p.add_argument("--labels", type=_names, metavar="A,B", help="the labels to choose from")
    p.add_argument("--second", metavar="COL", help="another person's labels: Cohen's kappa")
    p.add_argument("--static", action="store_true", help="the summary without the widget")
    p.add_argument("-o", "--into", metavar="NAME", help="bind the review to this name")


def _embed(p: LineParser) -> None:
    common(p)


def _concepts(p: LineParser) -> None:
    p.add_argument("--seed", metavar="TEXT", help="only what has to do with this topic; a text or a variable")
    p.add_argument("--slice", metavar="COL", help="compare the concepts by this column")
    p.add_argument("--max-concepts", type=_count, metavar="N", help="keep and score at most N (default 20)")
    p.add_argument("--induce-on", type=_count, metavar="N", help="look for concepts in N rows, score all")
    p.add_argument("--groups", type=_count, metavar="N", help="group into N instead of as many as there are")
    p.add_argument("--nearest", type=_count, metavar="N", help="score only the N nearest rows a concept")
    p.add_argument("--stage", choices=STAGES, help="stop after this step")
    p.add_argument("--points", metavar="NAME", help="go on from this frame of points")
    p.add_argument("--concepts", metavar="NAME", help="score these concepts instead of looking for some")
    p.add_argument("--static", action="store_true", help="the summary without the widget")
    common(p)


STAGES = ("distill", "cluster", "synthesize", "review", "score")
"""The steps of concept induction, in order."""


def _estimate(p: LineParser) -> None:
    p.add_argument("rest", nargs="...", metavar="SUB ...", help="any subcommand with its flags, on one line")


def _one(dest: str, metavar: str, text: str) -> Callable[[LineParser], None]:
    def line(p: LineParser) -> None:
        p.add_argument(dest, nargs="?", metavar=metavar, help=text)

    return line


def _nothing(p: LineParser) -> None:
    """No flags."""


_TABLE: Sequence[Command] = (
    Command("label", "Label each row's text with one of the labels, or several.", "optional", _label),
    Command("generate", "Generate text from a template over the columns.", "optional", _generate),
    Command(
        "chat",
        "Ask a question; nothing from other cells is sent unless asked.",
        "optional",
        _chat,
        data=False,
    ),
    Command("concepts", "Find the concepts that texts share, and explore them.", "optional", _concepts),
    Command("extract", "Find typed fields, records or entities in each row's text.", "optional", _extract),
    Command("summarize", "Summarize each row's text.", "none", _summarize),
    Command("translate", "Translate each row's text.", "none", _translate),
    Command("judge", "Rate texts, or rank several, by the criteria in the body.", "optional", _judge),
    Command("review", "Accept or correct labels, least certain first.", "none", _review),
    Command("embed", "Turn each row's text into a vector.", "none", _embed),
    Command("estimate", "What would it cost? Sends nothing.", "optional", _estimate, data=False),
    Command("last", "The last run: rows, usage, failures, prompts.", "none", _nothing, data=False),
    Command("jobs", "The background jobs.", "none", _nothing, data=False),
    Command(
        "stop", "Stop a background job, or all of them.", "none", _one("job", "ID", "its number"), data=False
    ),
    Command("retry", "Ask again for the rows of the last run that failed.", "none", _nothing, data=False),
    Command("usage", "Tokens and money of this session, by backend.", "none", _nothing, data=False),
    Command(
        "reset", "Forget a conversation, or all.", "none", _one("thread", "THREAD", "its name"), data=False
    ),
    Command(
        "help", "The subcommands, or one of them.", "none", _one("topic", "SUB", "a subcommand"), data=False
    ),
    Command("version", "The versions in use.", "none", _nothing, data=False),
)
COMMANDS: dict[str, Command] = {entry.name: entry for entry in _TABLE}
ALIASES: dict[str, str] = {"ask": "chat"}
