"""Labels in prose: the labels that an answer claims, as against those it mentions, weighs or denies.

Nobody sees that a label in a column is wrong, but everybody sees that one is missing. So a label that is
not clearly claimed doesn't count, and the model is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llm_magics.text.label_names import CROSSED_OUT, Labels, fold_text

_PLACEHOLDER = "\x00"
"""The placeholder of a label in a sentence."""
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|(?<=[\u3002\uff01\uff1f])|\n+|;\s")
_BULLET = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+(?=\S)")
_SEGMENT = re.compile(r"[.,:;(\n]|\s[-\u2013\u2014]\s|\u2014")
_UP_TO_LAST_SEPARATOR = re.compile(r".*(?:[:=>\uff1a]|\u2192|\s[-\u2013\u2014]\s)")
_EMPHASISED = re.compile(
    r"(\*\*|__|`|\*|(?<!\w)_)(?P<a>[^*_`\n]+?)\1|<(?P<tag>\w+)>(?P<b>[^<>\n]+)</(?P=tag)>"
    r"|\\boxed\s*\{+(?:\\text\w*\s*\{)?(?P<c>[^{}\n]+)"
)
_DENIED = re.compile(
    r"\b(?:not?|nor|non|neither|never|none|nothing|nobody|nowhere|without|cannot|\w+n t|cant|dont|doesnt|isnt"
    r"|wasnt|wont|hardly|barely|scarcely|rarely|seldom|less|least|lacks?|lacking|absen\w+|fail\w*|unlikely"
    r"|improbable|doubt\w*|false|wrong\w*|incorrect\w*|opposite|contrary|far from|but|rather than|instead"
    r"|except\w*|exclud\w+|unless|avoid\w*|refus\w+|anti|pseudo|quasi|semi|counter|ex|free of|mis\w*label\w*"
    r"|if|whether|either|or|could|might|may|maybe|perhaps|possib\w+|potential\w*|depend\w*|unclear|uncertain"
    r"|unsure|ambiguous|mixed|between|versus|vs|options|candidates?|choices|available|examples?|such as|here"
    r"|would (?:have|like|need)|wants?|wish\w*|please|provide\w*|translat\w+|rewrit\w+|actually|however|wait"
    r"|words?|terms?|phrases?|definition|means|called|guess\w*|hand"
    r"|nicht|kein\w*|weder|nie\w*|ohne|kaum|oder|wenn|pas|aucune?|jamais|sans|ou|sin|ni|nunca|ning\w+|senza"
    r"|nessun\w*|n\u00e3o|nao|sem|nem|geen|zonder|inte|ikke|ikkje|ej|ei|\u043d\u0435|\u043d\u0435\u0442"
    r"|\u0431\u0435\u0437|\u043d\u0438|nie|bez|de\u011fil|\u0644\u0627|\u0644\u064a\u0633)\b"
    r"|[\u4e0d\u975e\u6ca1\u6c92\u65e0\u7121\u6216]|\u306a\u3044|\uc544\ub2c8|\uc54a|\u0928\u0939\u0940\u0902"
)
"""Words, in folded form ("isn t"), that deny, doubt, weigh or only cite a label."""
_NEGATING_SUFFIX = re.compile(
    rf"{_PLACEHOLDER} (?:free|less)\b|{_PLACEHOLDER} (?:(?:is|was|score|probability) )?[01]?[\d.]*\d\b(?! ?%)"
)
_REFUSED = re.compile(
    r"\b(?:i|we) (?:m |am |are )?(?:sorry|unable|can ?not|can t|cant|could not|couldn t|won t|don t|do not"
    r"|need|would need|apologi[sz]e|refuse)\b|\bas an ai\b|\bplease (?:provide|share|give)\b"
    r"|\b(?:not enough|insufficient|too little) (?:information|context|detail)"
    r"|\b(?:wait|actually|scratch that|correction|on second thought)\b"
    r"|\bimpossible to (?:say|tell|determine|decide|classify|label)"
)
"""Phrases that make a whole answer unusable: refusals and corrections."""
_REASON = re.compile(
    r"\b(?:because|since|as|due to|given|so|which|who|where|when|while|although|though|weil|car)\b"
)
_FILLER_WORDS = (
    r"(?:a|an|the|this|that|its|most|mostly|more|very|quite|clearly|likely|probably|best|strongly|definitely"
    r"|primarily|mainly|largely|overall|generally|simply|just|be|as|to|of|about|with|it|also|both|into|under"
    r"|text|category|label|class|option|sentiment|topic|tone|emotion|following|single|one|named|related|how"
    r"|described|classified|categori[sz]ed|label\w*|seem\w*|feel\w*|ein\w*|die|der|das|le|la|un|une|el|una)"
)
_BEFORE_CLAIM = re.compile(
    r"(?:^|\b(?:is|are|was|be|being|been|s|as|about|under|into|in|to|with|say|said|therefore|thus|hence|so|like"
    r"|label\w*|categor\w+|class\w*|answer|option|choice|rating|score|grade|result|output|sentiment|tone"
    r"|emotions?|topics?|theme|express\w*|convey\w*|show\w*|indicat\w*|suggest\w*|describ\w*|reflect\w*"
    r"|display\w*|fits?|match\w*|belong\w*|choos\w*|chose\w*|pick\w*|select\w*|assign\w*|seems?|appears?"
    rf"|sounds?|looks?|feels?|see|ist|sind|est|es|\u00e8|\u00e9|zeigt))(?: {_FILLER_WORDS}){{0,5}} $"
    rf"|^(?:{_FILLER_WORDS} ){{1,5}}$"
)
"""Text before a label that claims it."""
_AFTER_CLAIM = re.compile(
    r"^\s*(?:$|(?:label|category|class|classification|option|choice|sentiment|tone|emotions?|feelings?|mood"
    r"|attitude|topic|theme|subject|matter|issue|problem|question|request|query|inquiry|complaint|report|ticket"
    r"|text|message|post|tweet|comment|review|statement|sentence|response|one|related|overall|intent|stars?"
    r"|due to|because|since|as|with|about|of|is the|fits|and|in the|in this|towards?|throughout|here)\b)"
)
"""Text after a label that claims it."""
_SHORT_ANSWER = 4


@dataclass(frozen=True)
class _Sentence:
    """A sentence with labels in it; ``marked`` is its folded text with a placeholder for each label."""

    raw: str
    marked: str
    names: tuple[str, ...]


def claimed_labels(text: str, labels: Labels) -> list[str]:
    """Return the labels that a text claims, in order of appearance.

    The list is empty where the text refuses to answer, or where any label in it is denied, doubted, asked
    about or only mentioned.
    """
    folded = fold_text(text)
    if _REFUSED.search(folded) or CROSSED_OUT.search(text):
        return []
    is_claimed: dict[str, bool] = {}
    words = len(folded.split())
    for sentence in _sentences(text, labels):
        if _is_doubtful(sentence):
            return []
        emphasised = set(_emphasised_labels(sentence.raw, labels))
        short = words <= _SHORT_ANSWER and not _is_article(sentence)
        claims = short or _points_to_label(sentence, labels)
        for name in sentence.names:
            is_claimed[name] = is_claimed.get(name, False) or claims or name in emphasised
    return list(is_claimed) if all(is_claimed.values()) else []


def mentioned_labels(text: str, labels: Labels) -> list[str]:
    """Return all labels that occur in the text, in order of appearance."""
    found = labels.mentions(fold_text(text), text)
    return list(dict.fromkeys(mention.name for mention in found))


def has_denial(text: str) -> bool:
    """Return whether a text contains a word that denies or doubts, or a mark that crosses out."""
    return bool(_DENIED.search(fold_text(text)) or CROSSED_OUT.search(text))


def _sentences(text: str, labels: Labels) -> Iterator[_Sentence]:
    for raw in _SENTENCE.split(text):
        folded = fold_text(raw)
        found = labels.mentions(folded, raw)
        if not found:
            continue
        marked, at = "", 0
        for mention in found:
            marked, at = marked + folded[at : mention.start] + _PLACEHOLDER, mention.end
        marked += folded[at:]
        # An enumeration such as "joy, anger and fear" is treated like one label.
        marked = re.sub(
            rf"{_PLACEHOLDER}(?: (?:and |as well as |also |plus |und |et |y )*{_PLACEHOLDER})+",
            _PLACEHOLDER,
            marked,
        )
        yield _Sentence(raw, marked, tuple(dict.fromkeys(mention.name for mention in found)))


def _is_doubtful(sentence: _Sentence) -> bool:
    """Return whether a label is denied, doubted or asked about; a reason after it is ignored."""
    if sentence.raw.rstrip(" \"'*_)`\u201d\u00bb").endswith(("?", "\uff1f")):
        return True
    before, _, after = sentence.marked.rpartition(_PLACEHOLDER)
    reason = _REASON.search(after)
    before_reason = after[: reason.start()] if reason else after
    return bool(
        _DENIED.search(before) or _DENIED.search(before_reason) or _NEGATING_SUFFIX.search(sentence.marked)
    )


def _points_to_label(sentence: _Sentence, labels: Labels) -> bool:
    """Return whether a sentence points to its label: "is ...", "... sentiment", "Category: ..."."""
    raw = _BULLET.sub("", sentence.raw)
    first, last = _SEGMENT.split(raw, maxsplit=1)[0], _UP_TO_LAST_SEPARATOR.sub("", raw)
    if labels.match(first) is not None or (last != raw and labels.match(last) is not None):
        return True
    before, _, after = sentence.marked.partition(_PLACEHOLDER)
    if after.count(_PLACEHOLDER) or _is_article(sentence):
        return False
    return bool(_BEFORE_CLAIM.search(before) and _AFTER_CLAIM.search(after))


def _is_article(sentence: _Sentence) -> bool:
    """Return whether the label may be an article such as "a", or a number that counts what follows."""
    after = sentence.marked.partition(_PLACEHOLDER)[2].strip()
    brief = all(len(name) <= 2 for name in sentence.names)
    return brief and bool(after) and not after.startswith(("star", "because", "since"))


def _emphasised_labels(text: str, labels: Labels) -> Iterator[str]:
    for match in _EMPHASISED.finditer(text):
        name = labels.match(match["a"] or match["b"] or match["c"])
        if name is not None:
            yield name
