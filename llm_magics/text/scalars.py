"""Numbers, truth values and dates that a model wrote as text, read by rules; an ambiguous text is None.

python-dateutil parses dates here. It fills what a text leaves out and guesses the order of day and month,
so a text is read only where all its ways of guessing agree. Babel and price-parser are not used for
numbers because they need the text's locale, which nobody knows here, or take "1.200" for one of its two
values.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
import warnings
from decimal import Decimal, InvalidOperation
from itertools import product

NO_VALUE = frozenset(
    {"", "null", "none", "n/a", "#n/a", "na", "n.a.", "nan", "nil", "-", "\u2013", "\u2014", "?", "unknown"}
    | {"not mentioned", "not specified", "not stated", "not given", "not provided", "not available"}
    | {"not applicable", "not known", "unspecified", "undefined", "missing", "<null>", "<na>", "<nan>"}
)
"""Words for "there is no value", in lower case, where a number, a date or a truth value was asked for."""

NO_TEXT = frozenset({"", "null", "n/a", "#n/a", "<null>"})
"""Words for "there is no value" where a text was asked for: "none" and "unknown" may be texts."""

_BOOLEANS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False}
_BOOLEANS["0"] = False

_CODES = (
    "USD|EUR|GBP|JPY|INR|CHF|CNY|RMB|AUD|CAD|NZD|HKD|SGD|KRW|TWD|THB|IDR|MYR|PHP|VND|SEK|NOK|DKK|ISK|PLN|CZK"
    "|HUF|RON|BGN|TRY|RUB|UAH|ILS|AED|SAR|ZAR|EGP|NGN|KES|BRL|MXN|ARS|CLP|COP|PEN"
)
_SIGN = (
    rf"(?:(?:US|AU|CA|NZ|HK|R|A|C)?[$€£¥₹₩₽₺₪฿₫₴₦¢]|(?:{_CODES}|euros?|dollars?|kr|zł|Kč|Rs\.?)(?![^\W\d_]))"
)
_CURRENCY = re.compile(
    rf"(?P<minus>[-+]?)\s*{_SIGN}\s*(?P<before>.+)|(?P<behind>.+?)\s*{_SIGN}", re.IGNORECASE
)
_PERCENT = re.compile(r"(.+?)\s*(?:%|percent)", re.IGNORECASE)
_JSON_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?")
_GROUPS = re.compile(
    r"(?P<sign>[-+]?)(?:"
    r"(?P<whole>\d{1,3}(?:(?P<group>[.,' _])\d{3})(?:(?P=group)\d{3})*|\d{1,2}(?:,\d{2})+,\d{3}|\d+)"
    r"(?:(?P<mark>[.,])(?P<part>\d+))?)"
)


def read_number(text: str) -> Decimal | None:
    """Return the number that a text states; None where it states none, or could be two.

    - A number as JSON writes it is that number.
    - A currency sign or code, and a percent sign, are left out: ``12%`` is 12.
    - Spaces, apostrophes, points and commas between groups of three digits are thousands separators.
    - A point and a comma in one number: the last one is the decimal mark.
    - A comma alone: before exactly three digits it separates thousands, else it is the decimal mark.
    - A point alone is the decimal mark; beside a currency sign and before three digits it is ambiguous.
    """
    plain = _plain(text)
    if _JSON_NUMBER.fullmatch(plain):
        return _decimal(plain)
    bare, is_money = _without_signs(plain)
    match = _GROUPS.fullmatch(bare)
    if match is None:
        return _decimal(bare) if _JSON_NUMBER.fullmatch(bare) else None
    return _grouped(match, is_money)


def _plain(text: str) -> str:
    """Return a text with one kind of digit, minus, space and apostrophe."""
    plain = unicodedata.normalize("NFKC", text)
    return re.sub(r"\s+", " ", plain.translate({0x2212: "-", 0x2019: "'", 0x202F: " "})).strip()


def _without_signs(text: str) -> tuple[str, bool]:
    """Return a number without its currency or percent sign, and whether it is an amount of money."""
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        return percent.group(1), False
    money = _CURRENCY.fullmatch(text)
    if money is None:
        return text, False
    return (money["behind"] or money["minus"] + money["before"]).strip(), True


def _grouped(match: re.Match[str], is_money: bool) -> Decimal | None:
    """Return the number of digits with separators, by the rules of ``read_number``."""
    sign, whole, group, mark = match["sign"], match["whole"], match["group"], match["mark"]
    if mark is not None and mark == (group or ("," if "," in whole else None)):
        return None  # 1,234,56: the last group is none
    if whole.startswith("0") and group is not None:  # 0,125 is a decimal, 0,000,125 is nothing
        return _decimal(sign + whole.replace(group, ".")) if mark is None else None
    if group == "." and mark is None and whole.count(".") == 1:
        return None if is_money else _decimal(sign + whole)
    digits = re.sub(r"[.,' _]", "", whole)
    return _decimal(f"{sign}{digits}.{match['part'] or 0}")


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def read_boolean(text: str) -> bool | None:
    """Return the truth value of true, yes, y, 1, false, no, n or 0 in any case; else None."""
    return _BOOLEANS.get(text.strip().casefold())


def read_moment(text: str) -> dt.datetime | None:
    """Return the date and time that a text states; midnight where it states none.

    ISO 8601 is read as such. Any other text must have a year of four digits and mean one date only:
    ``29 Feb 2024``, ``February 29th, 2024``, ``2024/2/29`` and ``29.2.2024`` do, ``05/03/2026`` and
    ``May 2024`` don't.
    """
    plain = _YEAR_FIRST.sub(lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}", _plain(text))
    try:
        return dt.datetime.fromisoformat(plain)
    except ValueError:
        pass
    if not _FOUR_DIGITS.search(plain) or not _SEPARATED.search(plain) or _YEAR_FIRST.match(plain):
        return None
    readings = {_guess(plain, *how) for how in product(_DEFAULTS, (False, True), (False, True))}
    return readings.pop() if len(readings) == 1 else None


_YEAR_FIRST = re.compile(r"\A(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_FOUR_DIGITS = re.compile(r"(?<!\d)\d{4}(?!\d)")
_SEPARATED = re.compile(r"\d[\s./-]|[^\W\d]{3}")
_DEFAULTS = (dt.datetime(2000, 1, 1), dt.datetime(2004, 12, 30))  # noqa: DTZ001 - of no zone
"""Two days that differ in every part, so that a part which a text leaves out is noticed."""


def _guess(text: str, default: dt.datetime, dayfirst: bool, yearfirst: bool) -> dt.datetime | None:
    """Return one reading of a date; its time of day is the text's, or midnight."""
    from dateutil import parser

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an unknown time zone
            whole: dt.datetime = parser.parse(text, default=default, dayfirst=dayfirst, yearfirst=yearfirst)
    except (ValueError, OverflowError, Warning):
        return None
    return whole
