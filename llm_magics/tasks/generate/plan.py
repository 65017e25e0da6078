"""``generate``, ``summarize`` and ``translate``: options checked and made into plans."""

from __future__ import annotations

from llm_magics.core.errors import UsageError
from llm_magics.core.prompt_formats import BEGUN, RAW
from llm_magics.data import templates
from llm_magics.options.run_options import RowOptions
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session
from llm_magics.tasks.generate.options import GenerateOptions, SummarizeOptions, TranslateOptions
from llm_magics.tasks.generate.task import Generate, Preset, summary, translation


@run_function(GenerateOptions)
def generate(session: Session, options: GenerateOptions) -> Plan:
    """Generate text for each row from a template over its columns.

    A Series or a list of texts is a frame whose column is ``text``. Returns the frame with
    ``generation``, ``generation_status`` and ``generation_error``; with several generations a list a row,
    or with ``long`` a row each. Raises UsageError before anything is sent.
    """
    given = planning.source(options)
    if not (options.template or "").strip():
        raise UsageError("the template is missing.", hint="Write it in the cell's body: Summarise {text}")
    if options.num_generations < 1:
        raise UsageError("num_generations must be 1 or more.")
    template = templates.compile_template(
        str(options.template).strip(), given.frame.columns, options.variables or {}
    )
    templates.require_columns(template, given.frame.columns)
    task = Generate(template, planning.output_name(given.frame, options, "generation"), options.system)
    backend = planning.backend_for(session, options, "generate", "text")
    return planning.plan(
        session,
        given,
        task,
        backend,
        options,
        inputs=template.columns,
        samples=options.num_generations,
        long=options.long,
        text_format=RAW,
    )


@run_function(SummarizeOptions)
def summarize(session: Session, options: SummarizeOptions) -> Plan:
    """A summary of each row's text in the column ``summary``.

    A summary longer than ``max_words`` is asked to be shortened, once; one that stays longer is
    ``repaired``. Raises UsageError before anything is sent.
    """
    given = planning.source(options)
    output = planning.output_name(given.frame, options, "summary")
    column = planning.text_column(given)
    return _preset(session, given, summary(column, output, options.max_words, options.focus), options)


@run_function(TranslateOptions)
def translate(session: Session, options: TranslateOptions) -> Plan:
    """A translation of each row's text into the language ``to``, in the column ``translation``.

    Raises UsageError before anything is sent.
    """
    language = (options.to or "").strip()
    if not language:
        raise UsageError("into which language?", hint="%llm translate reviews.text --to German")
    given = planning.source(options)
    output = planning.output_name(given.frame, options, "translation")
    return _preset(session, given, translation(planning.text_column(given), output, language), options)


def _preset(session: Session, given: planning.Source, task: Preset, options: RowOptions) -> Plan:
    """The plan of a task whose prompt is ours."""
    backend = planning.backend_for(session, options, "generate", "text")
    return planning.plan(
        session, given, task, backend, options, inputs=task.template.columns, chat_format=BEGUN
    )


generate_async = in_background(generate)
summarize_async = in_background(summarize)
translate_async = in_background(translate)
