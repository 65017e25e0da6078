"""The table of the subcommands of ``%%llm``; it drives parsing, help, completion and the reference page."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from llm_magics.core.errors import UsageError
from llm_magics.core.parameters import KNOWN_PARAMETERS
from llm_magics.options import synonyms
from llm_magics.options.line_parser import LineParser, command, split, unsilenced
from llm_magics.options.option import add_flags
from llm_magics.options.run_options import RunOptions
from llm_magics.tasks.agreement.options import AgreementOptions
from llm_magics.tasks.chat.options import ChatOptions
from llm_magics.tasks.codebook.options import CodebookOptions
from llm_magics.tasks.concepts.options import ConceptsOptions
from llm_magics.tasks.embed.options import EmbedOptions
from llm_magics.tasks.extract.options import ExtractOptions
from llm_magics.tasks.generate.options import GenerateOptions, SummarizeOptions, TranslateOptions
from llm_magics.tasks.judge.options import JudgeOptions
from llm_magics.tasks.label.options import LabelOptions
from llm_magics.tasks.label.review.options import ReviewOptions
from llm_magics.tasks.measure.options import MeasureOptions
from llm_magics.tasks.sample.options import SampleOptions

Body: TypeAlias = Literal["none", "optional"]


@dataclass(frozen=True)
class Argument:
    """A word of the line that is no flag; ``count`` is argparse's ``nargs``."""

    name: str
    metavar: str
    help: str
    count: str = "?"


_DATA = Argument("data", "DATA", "a frame, Series or list: reviews, reviews.text")


@dataclass(frozen=True)
class Command:
    """One subcommand of the magics.

    ``options`` declares its flags, ``body`` says whether a cell's body is read, ``data`` whether its first
    word names the data; ``argument`` is a word that names something else, after the data if there are any.
    """

    name: str
    help: str
    body: Body
    options: type[Any] | None = None
    argument: Argument | None = None
    data: bool = True

    @cached_property
    def parser(self) -> LineParser:
        """The parser of its line."""
        magic = "%llm" if self.body == "none" else "%%llm"
        parser = LineParser(f"{magic} {self.name}", self.help)
        parser.instead.update(synonyms.flags())
        words = [word for word in (_DATA if self.data else None, self.argument) if word is not None]
        for word in words:
            parser.add_argument(word.name, nargs=word.count, metavar=word.metavar, help=word.help)
        if not words and self.body != "none":
            parser.surplus = "The text goes in the cell's body, under the line."
        if self.options is not None:
            add_flags(parser, self.options, getattr(self.options, "without_flags", ()))
            if issubclass(self.options, RunOptions):
                parser.instead.update(_NO_FLAGS)
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


_NO_FLAGS = {
    **{f"--{name.replace('_', '-')}": f"Type -p {name}=VALUE" for name in KNOWN_PARAMETERS},
    **dict.fromkeys(("--key", "--api-key"), "A key belongs to a backend: %llm_config add -h"),
}
"""Words that are often typed as flags of a run and are none, with what to type."""


def parse(line: str, body: str | None = None) -> Call:
    """What was typed after ``%llm`` or ``%%llm``.

    A cell whose line is empty, or starts with a flag, is a ``chat``. Raises NotFound for an unknown
    subcommand, UsageError for a body that is missing or not read, parser.HelpAsked for ``-h``. A
    semicolon at the end of the line hides the value, as it does after an expression: ``-q``.
    """
    line, hidden = unsilenced(line)
    words = split(line)
    if body is not None and (not words or words[0].startswith("-")) and words[:1] not in (["-h"], ["--help"]):
        words = ["chat", *words]
    if not words or words[0] in ("-h", "--help"):
        words, body = ["help"], None
    name = ALIASES.get(words[0], words[0])
    chosen = COMMANDS[command(name, [*COMMANDS, *ALIASES], "%llm", synonyms.subcommand(words[0]))]
    values = chosen.parser.parse_line(words[1:])
    if body is not None and body.strip() and chosen.body == "none":
        raise UsageError(
            f"{chosen.name} reads no cell body.", hint=f"Type it on one line: %llm {line.strip()}"
        )
    if hidden and hasattr(values, "quiet"):
        values.quiet = True
    return Call(chosen, values, body)


_TABLE: Sequence[Command] = (
    Command("label", "Label each row's text with one of the labels, or several.", "optional", LabelOptions),
    Command("generate", "Generate text from a template over the columns.", "optional", GenerateOptions),
    Command(
        "chat",
        "Ask a question; nothing from other cells is sent unless asked.",
        "optional",
        ChatOptions,
        data=False,
    ),
    Command("concepts", "Find the concepts that texts share, and explore them.", "optional", ConceptsOptions),
    Command(
        "extract", "Find typed fields, records or entities in each row's text.", "optional", ExtractOptions
    ),
    Command("summarize", "Summarize each row's text.", "none", SummarizeOptions),
    Command("translate", "Translate each row's text.", "none", TranslateOptions),
    Command("judge", "Rate texts, or rank several, by the criteria in the body.", "optional", JudgeOptions),
    Command("review", "Accept or correct labels, least certain first.", "none", ReviewOptions),
    Command(
        "sample", "Draw gold rows by a known design, and open the review on them.", "none", SampleOptions
    ),
    Command(
        "measure", "The share of each label, corrected by gold rows, with intervals.", "none", MeasureOptions
    ),
    Command(
        "codebook",
        "Label definitions as versions, with the accuracy of each.",
        "none",
        CodebookOptions,
        argument=Argument("words", "VERB ...", "show | diff A B | improve | use V | save FILE", count="*"),
        data=False,
    ),
    Command(
        "agreement",
        "Cohen's kappa, Krippendorff's alpha, Gwet's AC1, with intervals.",
        "none",
        AgreementOptions,
        argument=Argument("columns", "COL,COL[,COL]", "columns of labels, one an annotator"),
    ),
    Command("embed", "Turn each row's text into a vector.", "none", EmbedOptions),
    Command(
        "estimate",
        "What would it cost? Sends nothing.",
        "optional",
        argument=Argument("rest", "SUB ...", "any subcommand with its flags, on one line", count="..."),
        data=False,
    ),
    Command(
        "last",
        "The last run: rows, usage, failures, prompts; its methods paragraph.",
        "none",
        argument=Argument("what", "methods", "what a paper has to report of it"),
        data=False,
    ),
    Command("jobs", "The background jobs.", "none", data=False),
    Command(
        "stop",
        "Stop a background job, or all of them.",
        "none",
        argument=Argument("job", "ID", "its number"),
        data=False,
    ),
    Command("retry", "Ask again for the rows of the last run that failed.", "none", data=False),
    Command("usage", "Tokens and money of this session, by backend.", "none", data=False),
    Command(
        "reset",
        "Forget a conversation, or all.",
        "none",
        argument=Argument("thread", "THREAD", "its name"),
        data=False,
    ),
    Command(
        "help",
        "The subcommands, or one of them.",
        "none",
        argument=Argument("topic", "SUB", "a subcommand"),
        data=False,
    ),
    Command("version", "The versions in use.", "none", data=False),
)
COMMANDS: dict[str, Command] = {entry.name: entry for entry in _TABLE}
ALIASES: dict[str, str] = {"ask": "chat"}
