"""The paragraphs of a paper that say how labels were made, from what a run's manifest knows.

Nothing is guessed: a sentence whose facts the manifest lacks is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

REFERENCES: Mapping[str, str] = {
    "ppi": "Angelopoulos, A. N., Duchi, J. C., & Zrnic, T. (2023). PPI++: Efficient prediction-powered "
    "inference. arXiv:2311.01453.",
    "dsl": "Egami, N., Hinck, M., Stewart, B. M., & Wei, H. (2023). Using imperfect surrogates for "
    "downstream inference: Design-based supervised learning for social science applications of large "
    "language models. Advances in Neural Information Processing Systems, 36. arXiv:2306.04746.",
    "wilson": "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. "
    "Journal of the American Statistical Association, 22(158), 209-212.",
    "jeffreys": "Brown, L. D., Cai, T. T., & DasGupta, A. (2001). Interval estimation for a binomial "
    "proportion. Statistical Science, 16(2), 101-133.",
    "mover": "Zou, G. Y., & Donner, A. (2008). Construction of confidence limits about effect measures: "
    "A general approach. Statistics in Medicine, 27(10), 1693-1702.",
    "alpha": "Krippendorff, K. (2011). Computing Krippendorff's alpha-reliability. University of "
    "Pennsylvania.",
    "gwet": "Gwet, K. L. (2008). Computing inter-rater reliability and its variance in the presence of high "
    "agreement. British Journal of Mathematical and Statistical Psychology, 61(1), 29-48.",
    "cohen": "Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological "
    "Measurement, 20(1), 37-46.",
    "fleiss": "Fleiss, J. L. (1971). Measuring nominal scale agreement among many raters. Psychological "
    "Bulletin, 76(5), 378-382.",
}
"""Works that a report cites, by the names used here."""


@dataclass(frozen=True)
class Methods:
    """What a paper has to report: ``paragraphs``, a ``table`` of facts, ``references``, the ``prompt``.

    ``markdown`` and ``latex`` have all of it as text; a notebook shows the Markdown.
    """

    paragraphs: Sequence[str]
    table: Sequence[tuple[str, str]]
    references: Sequence[str]
    prompt: str

    @property
    def markdown(self) -> str:
        """The report in Markdown."""
        lines = [f"| {_md(name)} | {_md(value)} |" for name, value in self.table]
        parts = [*map(_md, self.paragraphs), "\n".join(["| | |", "|---|---|", *lines])]
        if self.references:
            parts += ["**References**", "\n".join(f"- {_md(text)}" for text in self.references)]
        if self.prompt:
            longest = max((len(found) for found in re.findall("`+", self.prompt)), default=0)
            fence = "`" * max(3, longest + 1)
            parts += ["**Appendix: prompt**", f"{fence}text\n{self.prompt}\n{fence}"]
        return "\n\n".join(parts) + "\n"

    @property
    def latex(self) -> str:
        """The report in LaTeX; it needs no package."""
        lines = [rf"{_tex(name)} & {_tex(value)} \\" for name, value in self.table]
        table = [r"\begin{tabular}{lp{0.6\linewidth}}", r"\hline", *lines, r"\hline", r"\end{tabular}"]
        parts = [*map(_tex, self.paragraphs), "\n".join(table)]
        if self.references:
            items = [rf"\item {_tex(text)}" for text in self.references]
            parts.append("\n".join([r"\paragraph{References}", r"\begin{itemize}", *items, r"\end{itemize}"]))
        if self.prompt:
            # A prompt that holds the end of the environment would leave it.
            safe = self.prompt.replace(r"\end{verbatim}", r"\end {verbatim}")
            parts.append(f"\\paragraph{{Appendix: prompt}}\n\\begin{{verbatim}}\n{safe}\n\\end{{verbatim}}")
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


_MARKS = re.compile(r"([\\`*_\[\]|#~$])")


def _md(text: str) -> str:
    """Text in which Markdown and HTML mean nothing."""
    return _MARKS.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _tex(text: str) -> str:
    """Text in which LaTeX's signs mean themselves."""
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))


def methods(manifest: Mapping[str, Any], evaluation: Any, prompt: str) -> Methods:
    """The report of a manifest; ``evaluation`` is the run's comparison with true labels, or None."""
    facts = {**manifest, "evaluation": _evaluated(evaluation)}
    paragraphs = [" ".join(part) for part in (_made(facts), _counted(facts), _checked(facts)) if part]
    return Methods(paragraphs, list(_table(facts)), _references(facts), prompt)


def _evaluated(evaluation: Any) -> Mapping[str, Any] | None:
    """Accuracy with its interval, where the run was compared with true labels, one a row."""
    if evaluation is None or getattr(evaluation, "accuracy", None) is None:
        return None
    low, high = evaluation.interval
    return {"rows": evaluation.rows, "accuracy": evaluation.accuracy, "low": low, "high": high}


def _host(facts: Mapping[str, Any]) -> str:
    return str(facts["base_url"] or facts["namespace"])


def _versions(facts: Mapping[str, Any]) -> str:
    """The models that answered, where they name themselves otherwise than they were asked for."""
    other = [name for name in facts.get("answered_by", ()) if name != facts["model"]]
    return ", ".join(other)


def _made(facts: Mapping[str, Any]) -> list[str]:
    """What was done, by which model, when, with which parameters."""
    versions, started, finished = facts["versions"], facts["started"], facts["finished"]
    answered = _versions(facts)
    said = [
        f"The task {facts['task']!r} was carried out on {facts['rows']:,} rows by the model {facts['model']}"
        + (f" (answered by {answered})" if answered else "")
        + f" at {_host(facts)}, "
        + (f"from {started} to {finished}" if finished else f"from {started} on")
        + f", with llm_magics {versions['llm_magics']} under Python {versions['python']}."
    ]
    parameters = _parameters(facts)
    said.append(
        f"Parameters: {parameters}; all others were the host's defaults."
        if parameters
        else "All parameters were the host's defaults."
    )
    if facts["generations"] > 1:
        said.append(f"Each row was answered {facts['generations']} times.")
    if facts["rows_per_request"] > 1:
        said.append(f"Up to {facts['rows_per_request']} rows shared a request.")
    said.append(f"The instructions have the SHA-256 {facts['prompt_sha256']}.")
    if book := facts.get("codebook"):
        said.append(f"The label definitions were version {book['version']} of the codebook {book['name']}.")
    return said


def _parameters(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in facts["parameters"].items())


def _amount(cost: float) -> str:
    """Dollars with their cents, small sums with four decimals."""
    return f"{cost:.4f}" if 0 < cost < 1 else f"{cost:.2f}"


def _counted(facts: Mapping[str, Any]) -> list[str]:
    """What came of it, and what it took."""
    counts = facts["counts"]
    names = {
        "ok": "were answered as asked",
        "repaired": "were answered in another form and read",
        "defaulted": "got the default",
        "failed": "failed and are null",
        "skipped": "had no text",
        "waiting": "were not answered",
    }
    parts = [f"{counts[name]:,} {what}" for name, what in names.items() if counts.get(name)]
    said = [f"Of the answers {', '.join(parts)}."] if parts else []
    tokens = f"{facts['input_tokens']:,} tokens were read and {facts['output_tokens']:,} written"
    cost = facts["cost_usd"]
    said.append(f"{tokens}, for {_amount(cost)} US dollars." if cost is not None else f"{tokens}.")
    if score := facts["evaluation"]:
        said.append(
            f"Against the true labels of {score['rows']:,} rows the accuracy was "
            f"{_interval(score, 'accuracy')} (Wilson, 1927)."
        )
    return said


def _interval(found: Mapping[str, Any], name: str, level: float = 0.95) -> str:
    return f"{found[name]:.3f} ({level:.0%} interval {found['low']:.3f} to {found['high']:.3f})"


def _checked(facts: Mapping[str, Any]) -> list[str]:
    """The gold sample, the correction, the agreement."""
    said = []
    if drawn := facts.get("sample"):
        said.append(
            f"A gold sample of {drawn['rows']:,} of {drawn['of']:,} rows was drawn {drawn['design']} "
            f"(seed {drawn['seed']})"
            + (", labelled without sight of the model's labels." if drawn["blind"] else ".")
        )
    for found in _measured(facts):
        said += _corrected(found)
    for first in _measured(facts)[:1]:
        level = _interval(first["accuracy"], "accuracy", first["confidence"])
        said.append(f"On the gold labels the model's accuracy was {level}.")
        said += [f"{note[:1].upper()}{note[1:]}." for note in first["notes"]]
    if agreed := facts.get("agreement"):
        values = ", ".join(f"{name} {value}" for name, value in _coefficients(agreed))
        said.append(
            f"Agreement of {', '.join(agreed['columns'])}, with {agreed['confidence']:.0%} bootstrap "
            f"intervals ({agreed['resamples']:,} resamples): {values}."
        )
    return said


def _coefficients(agreed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each coefficient of agreement with its value and interval."""
    for one in agreed["values"]:
        name = "percent agreement" if one["coefficient"] == "percent" else one["coefficient"]
        yield name, f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _measured(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measurements: of shares, of means."""
    return [facts[name] for name in ("measured", "measured_means") if facts.get(name)]


def _corrected(found: Mapping[str, Any]) -> Iterator[str]:
    method = (
        "prediction-powered inference with design weights (Egami et al., 2023)"
        if found["design"] == "unequal chances"
        else "power-tuned prediction-powered inference (PPI++; Angelopoulos et al., 2023)"
    )
    what = f"means of {found['mean']}" if found["mean"] else "shares"
    yield (
        f"{what.capitalize()} were corrected for the model's errors by {method}, with {found['gold']:,} gold "
        f"labels of {found['rows']:,} rows ({found['design']}) and {found['confidence']:.0%} intervals"
        + ("." if found["mean"] else "; small counts have Jeffreys intervals combined by MOVER.")
    )


def _table(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts, one a line."""
    yield "Model", str(facts["model"])
    if answered := _versions(facts):
        yield "Answered by", answered
    yield "Host", _host(facts)
    yield "Date", str(facts["started"])
    yield "Parameters", _parameters(facts) or "the host's defaults"
    yield "Seed", str(facts["seed"])
    yield "Rows", f"{facts['rows']:,}"
    yield "Failed", f"{facts['counts'].get('failed', 0):,}"
    yield "Tokens read, written", f"{facts['input_tokens']:,}, {facts['output_tokens']:,}"
    if facts["cost_usd"] is not None:
        yield "Cost (USD)", _amount(facts["cost_usd"])
    if book := facts.get("codebook"):
        yield "Codebook", f"{book['name']}, version {book['version']}"
    if drawn := facts.get("sample"):
        yield "Gold sample", f"{drawn['rows']:,} of {drawn['of']:,}, {drawn['design']}"
    if score := facts["evaluation"]:
        yield f"Accuracy ({score['rows']:,} rows)", _interval(score, "accuracy")
    for found in _measured(facts)[:1]:
        yield "Correction", f"{found['gold']:,} gold labels, {found['design']}"
        yield "Accuracy (gold labels)", _interval(found["accuracy"], "accuracy", found["confidence"])
    if agreed := facts.get("agreement"):
        yield from _coefficients(agreed)
    yield "llm_magics", str(facts["versions"]["llm_magics"])


def _references(facts: Mapping[str, Any]) -> list[str]:
    """The works that the paragraphs cite."""
    used = ["wilson"] if facts["evaluation"] else []
    for found in _measured(facts):
        used += ["ppi", *(["dsl"] if found["design"] == "unequal chances" else [])]
        used += [] if found["mean"] else ["jeffreys", "mover"]
    named = " ".join(one["coefficient"] for one in facts.get("agreement", {}).get("values", ()))
    for word, work in (
        ("alpha", "alpha"),
        ("Gwet", "gwet"),
        ("Cohen", "cohen"),
        ("Fleiss", "fleiss"),
    ):
        used += [work] if word in named else []
    return [text for name, text in REFERENCES.items() if name in used]
