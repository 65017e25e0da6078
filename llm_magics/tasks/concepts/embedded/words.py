"""Words of a collection of texts: which are function words, which of its words are verbs, how one is spelled.

A small rule set in place of a tagger. What a word is follows from the company it keeps in the texts
themselves: after "the" or "my" stands a noun, after "to" or "can" a verb, and a verb stands before "the".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

TOKEN = re.compile(r"(?:[^\W\d_]\.){2,}|[^\W_](?:[\w'’-]*[^\W_])?(?:&[^\W\d_]+)?")
"""A word, an abbreviation with dots (U.S.), a name with an ampersand (AT&T)."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = _set("a an the this that these those every each some any no another")
POSSESSIVES = _set("my your his her its our their whose")
BEFORE_VERBS = _set(
    "to will would can could may might must shall should i you we they he she who please not don't didn't "
    "doesn't can't cannot won't couldn't wouldn't i'll i'd you'll you'd we'll they'll let's how"
)
PREPOSITIONS = _set(
    "of in on at by for with from about into over under after before between through during without "
    "within against among across toward towards upon than as like near until since off out up down along "
    "around behind beyond despite via per amid unless because while although though whether if when where "
    "why how what which outside inside and or but nor so yet then either neither both also plus versus vs"
)
AUXILIARIES = _set(
    "is are was were be been being am has have had having do does did doing done will would can could may "
    "might must shall should ought i'm i've i'd i'll it's that's there's he's she's they're we're you're "
    "you've we've they've isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't can't "
    "cannot won't wouldn't couldn't shouldn't ain't what's who's let's im ive dont cant didnt doesnt isnt"
)
PRONOUNS = _set(
    "i me myself you yourself he him himself she herself it itself we us ourselves they them themselves "
    "who whom someone anyone everyone nobody something anything everything nothing one ones mine yours "
    "ours theirs there here others"
)
ADVERBS = _set(
    "not never ever always often sometimes usually again already still just only even very too quite "
    "rather almost maybe perhaps well much more most less least far further once twice now then soon "
    "later earlier ago today yesterday tomorrow tonight instead however therefore thus hence meanwhile "
    "otherwise away back together apart else yet anymore anyway please yes ok okay oh really actually "
    "probably exactly early late abroad ahead alone aside forward online overnight somewhat"
)
VAGUE_ADJECTIVES = _set(
    "longer shorter worth super new old other many few several such same own first second third last next "
    "more most certain various different good better best bad worse worst great big bigger biggest small "
    "large larger largest long short high higher low lower able available likely recent latest current "
    "former full whole entire main major real right wrong sure possible important own single double half "
    "one two three four five six seven eight nine ten eleven twelve hundred thousand million millions "
    "billion billions dozen dozens percent pct top key early late little lot lots bit due least enough "
    "extra additional specified appropriate applicable related respective necessary subject eligible "
    "particular general overall including excluding regarding concerning according based made known given "
    "using following pursuant thereof therein herein nice fine interested ready unable free close similar "
    "aware non"
)
VAGUE_NOUNS = _set(
    "thing things way ways kind kinds type types sort part parts number numbers amount amounts case cases "
    "fact time times day days week weeks month months year years hour hours minute minutes moment today "
    "yesterday monday tuesday wednesday thursday friday saturday sunday january february march april june "
    "july august september october november december morning afternoon evening night weekend quarter mr "
    "mrs ms dr jr sr inc corp co ltd llc plc people person man men woman women guy guys someone place end "
    "start beginning middle side line point points reason reasons problem problems issue issues question "
    "questions answer example examples set list addition use order purpose purposes respect regard result "
    "results effect effects basis manner extent accordance connection provision provisions section "
    "sections subsection title paragraph subparagraph chapter item items matter matters etc ie eg vs am "
    "pm est gmt edt pst mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec need "
    "needs chance idea help thanks thank report reports spokesman spokeswoman official officials name "
    "names paper work approach method methods"
)
MODIFIERS = _set(
    "case end issue line list method name number order paper people place point question report set "
    "time title type work"
)
"""Vague nouns that tell something before another noun: "time series", "type annotations"."""
VAGUE_VERBS = _set(
    "say says said saying tell tells told telling ask asks asked asking get gets got getting gotten give "
    "gives gave giving go goes went gone going come comes came coming take takes took taken taking make "
    "makes made making know knows knew knowing think thinks thought thinking want wants wanted wanting "
    "need needs needed needing see sees saw seen seeing look looks looked looking find finds found "
    "finding keep keeps kept keeping let lets put puts putting try tries tried trying use uses used using "
    "seem seems seemed show shows showed shown showing become becomes became turn turns turned leave "
    "leaves left begin begins began happen happens happened happening mean means meant feel feels felt "
    "like likes liked believe believes believed expect expects expected include includes included require "
    "requires required provide provides provided providing direct directs directed authorize authorizes "
    "authorized prohibit prohibits establish establishes established amend amends amended revise revises "
    "permit permits allow allows allowed set sets setting sets wonder wondering work works worked working "
    "help helps helped helping call calls called report reported announce announced announces add adds "
    "added bring brings brought hold holds held run runs ran running move moves moved explain guess hope "
    "plan plans planned could'nt propose present presents presented proposed describe describes described "
    "understand appear appears appeared start starts started stop stops stopped remain remains remained "
    "named based return returned offer offers offered hit hits continue continues continued face faces faced"
)
OTHER_LANGUAGES = _set(
    "der die das den dem des ein eine einen einem einer und oder aber nicht mit von zu zum zur im am auf "
    "für ist sind war wird werden hat haben ich sie wir ihr es auch als an bei aus nach über vor wie dass "
    "sich nur noch so was wenn sein kann mein meine keine le la les un une des du de et ou mais ne pas "
    "avec par pour dans sur est sont été a ont il elle nous vous ils elles je tu ce cette ces qui que "
    "quoi dont au aux en se sa son ses plus très mon ma mes el los las una unos unas y o pero no con por "
    "para en es son fue ha han yo lo su sus que qué como más muy al del mi mis se me te ya este esta il "
    "gli uno e ma non con per tra fra di da è sono ho ha che chi come più molto mio mia nel nella della "
    "delle dei alla os as um uma e ou mas não com por em é são foi tem que se na no nas nos meu minha do "
    "da dos das het een en of maar niet met van voor op te zijn was heeft ik jij wij dat die deze dit ook "
    "naar bij uit mijn geen"
)
"""Function words of German, French, Spanish, Italian, Portuguese and Dutch."""

FUNCTION_WORDS = (
    ARTICLES | POSSESSIVES | BEFORE_VERBS | PREPOSITIONS | AUXILIARIES | PRONOUNS | ADVERBS | OTHER_LANGUAGES
) - _set("die war son per a i")
NEVER_LAST = _set("inc corp co ltd llc plc cos stores mr mrs ms dr st jr sr sec u.s. us")
"""Words that end no phrase however they are written."""
PARTICIPLES = {
    "lost": "lost", "lose": "lost", "stolen": "stolen", "stole": "stolen", "forgot": "forgotten",
    "forget": "forgotten", "forgotten": "forgotten", "broken": "broken", "broke": "broken",
    "stuck": "stuck", "missing": "missing", "pending": "pending", "wrong": "wrong", "frozen": "frozen",
    "withdrawn": "withdrawn", "hidden": "hidden", "torn": "torn", "sent": "sent", "unpaid": "unpaid",
    "paid": "paid", "late": "late",
}  # fmt: skip
"""What is said of a noun behind it ("was stolen"), as it stands before the noun ("stolen phone")."""
IRREGULAR_PAST = _set(
    "fell rose won lost met led sent sold paid bought took gave grew drew drove ate spoke wrote broke "
    "chose struck beat threw flew knew began ran sank stood understood caught taught sought fought held "
    "built cut hit put quit spent lent bent shot slid swept kept slept shut drank swam wore tore swore "
    "died"
)
"""Past forms that no ending tells."""
LINKS = _set("is was were are be been being got get gets getting has have had keeps kept still just not")
_SINGLE_LETTER = re.compile(r"^[^\W\d_]$")
NO_NAME = VAGUE_ADJECTIVES | VAGUE_NOUNS | VAGUE_VERBS
"""Words that name no topic by themselves. They may stand inside a phrase ("First Amendment", "work week")."""

_FINITE = VAGUE_VERBS | IRREGULAR_PAST
_BEFORE_NOUNS = ARTICLES | POSSESSIVES | _set("of in on for with from by at")
_AFTER_VERBS = (ARTICLES - {"that"}) | POSSESSIVES | _set("me him them up out off")
"""What follows a verb. "That" follows nouns too: "a server that sends"."""
_SUFFIXES_OF_NOUNS = (
    "tion",
    "sion",
    "ment",
    "ness",
    "ity",
    "ship",
    "ance",
    "ence",
    "ism",
    "ist",
    "age",
    "er",
    "or",
)
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ied", "ed", "es", "s", "e", "y")


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Enough of a word to see that ``activate``, ``activated`` and ``activating`` are one."""
    word = word.casefold().replace("’", "'").replace(".", "").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    else:
        if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) >= 4:
            word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sl" else word


@lru_cache(maxsize=100_000)
def is_function_word(word: str) -> bool:
    """Whether the word binds others and says nothing itself; single letters and numbers too."""
    low = word.casefold().replace("’", "'")
    return low in FUNCTION_WORDS or low == "," or bool(_SINGLE_LETTER.match(low)) or low[0].isdigit()


def is_adverb(word: str) -> bool:
    """Whether the word ends as adverbs do."""
    low = word.casefold()
    return low.endswith("ly") and len(low) > 4 and low not in _ADJECTIVES_IN_LY | _NOUNS_IN_LY


_IRREGULAR_PLURALS = ("man", "child", "foot", "tooth", "mouse", "goose", "f", "fe", "ics", "ware", "ing")


def _with_s(noun: str) -> str:
    if noun.endswith(("x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def is_coined(word: str) -> bool:
    """Whether the word is made up for one place: an identifier with underscores, a hyphenated sentence."""
    return "_" in word or word.count("-") >= MANY_HYPHENS


MANY_HYPHENS = 4
_ADJECTIVES_IN_LY = _set("daily weekly monthly quarterly yearly elderly friendly deadly costly early")
_NOUNS_IN_LY = _set("family supply assembly monopoly reply ally italy july rally anomaly butterfly jelly")
INSTITUTIONS = _set(
    "holdings federation leader leaders"
    "act acts code secretary department departments administrator commissioner director board bureau "
    "agency agencies office committee commission program programs service services state states country "
    "countries government governments company companies group groups member members president minister "
    "bill law laws attorney inspector governors action actions"
)
"""Words that so many topics have in common that they tell little of one."""


@dataclass
class _Seen:
    """How often a word was seen, and where."""

    all: int = 0
    as_noun: int = 0
    as_verb: int = 0
    head: int = 0
    last: int = 0
    inside: int = 0
    capital: int = 0
    spelled: Counter[str] = field(default_factory=Counter)


class Vocabulary:
    """What the words of these texts are. ``spoken`` texts are questions and requests in the first person."""

    def __init__(self, texts: Sequence[Sequence[Sequence[str]]]) -> None:
        self._seen: dict[str, _Seen] = {}
        self._plurals: dict[str, Counter[str]] = {}
        spoken = total = 0
        for pieces in texts:
            words = {word.casefold() for piece in pieces for word in piece}
            spoken += bool(words & {"i", "my", "me", "i'm", "i've", "can", "how"})
            total += 1
            for piece in pieces:
                self._count(piece)
        for pieces in texts:
            for piece in pieces:
                self._count_ends(piece)
        self.spoken = spoken > 0.6 * max(total, 1)
        for word, seen in self._seen.items():
            if word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")):
                self._plurals.setdefault(stem(word), Counter())[word] += seen.all

    def _count(self, piece: Sequence[str]) -> None:
        low = [word.casefold().replace("’", "'") for word in piece]
        for i, word in enumerate(low):
            seen = self._seen.setdefault(word, _Seen())
            before, after = low[i - 1] if i else "", low[i + 1] if i + 1 < len(low) else ""
            seen.all += 1
            seen.as_noun += (before in _BEFORE_NOUNS) + (after in ("is", "are", "was", "were"))
            seen.as_verb += (before in BEFORE_VERBS) + (after in _AFTER_VERBS)
            if i:
                seen.inside += 1
                seen.capital += piece[i][0].isupper()
            seen.spelled[piece[i]] += 1 if i else 0

    def _count_ends(self, piece: Sequence[str]) -> None:
        """Where words end a run of nouns: before a function word, a verb, or nothing."""
        low = [word.casefold().replace("’", "'") for word in piece]
        for i, word in enumerate(low):
            after = low[i + 1] if i + 1 < len(low) else ""
            if not after or is_function_word(after) or after in _FINITE or self.is_verb(after):
                seen = self._seen[word]
                seen.last += 1
                # "A remote, cold place": what stands before a comma may be the first of two adjectives.
                seen.head += i > 0 and after != "," and low[i - 1] in _BEFORE_NOUNS

    def _of(self, word: str) -> _Seen:
        return self._seen.get(word.casefold().replace("’", "'"), _Seen())

    def is_verb(self, word: str) -> bool:
        """Whether the word is a verb here, most of the times that its neighbours tell."""
        seen, low = self._of(word), word.casefold()
        if low.endswith(_SUFFIXES_OF_NOUNS[:9]) and not low.endswith("mention"):
            return False
        return seen.as_verb > seen.as_noun and seen.as_verb >= max(2, 0.15 * seen.all)

    def stands_alone(self, word: str) -> bool:
        """Whether the word by itself can be a noun: often enough after an article or a preposition."""
        seen, low = self._of(word), word.casefold()
        if self.is_name(word):
            return not self.is_verb(word)
        least = 0.3 if low.endswith("ing") else 0.15 if self.spoken else 0.08
        return seen.head >= least * seen.all and not self.is_verb(word)

    def ends_phrases(self, word: str) -> bool:
        """Whether the word can be the noun of a phrase: no adverb, participle or mere modifier."""
        low, seen = word.casefold(), self._of(word)
        if low in NEVER_LAST or low in IRREGULAR_PAST or low in ("pending", "missing", "stolen", "stuck"):
            return False
        if is_adverb(low) or low in _ADJECTIVES_IN_LY:
            return False
        if low.endswith("ed") and len(low) > 4 and low not in _NOUNS_IN_ED:
            return False
        if low.endswith(("able", "ible", "ful", "less", "ous", "ical")) and low not in _NOUNS_LIKE_ADJECTIVES:
            return False
        return seen.last >= 0.2 * seen.all

    def plural(self, noun: str) -> str:
        """The plural of a noun as these texts write it, else by rule; irregular ones stay as they are."""
        found = self._plurals.get(stem(noun))
        if noun.endswith("s") or noun.endswith(_IRREGULAR_PLURALS):
            return noun
        return min(found, key=lambda word: (-found[word], word)) if found else _with_s(noun)

    def is_name(self, word: str) -> bool:
        """Whether the word is written with a capital inside sentences, as proper names are."""
        seen = self._of(word)
        return seen.inside > 0 and seen.capital > 0.7 * seen.inside

    def spelling(self, word: str) -> str:
        """The word as it stands inside sentences: ``Iraq``, ``NASA``, ``oil``."""
        seen = self._of(word)
        if not self.is_name(word):
            return word if word.isupper() and len(word) <= 5 and seen.inside == 0 else word.casefold()
        capital = [w for w, _ in seen.spelled.most_common() if w[0].isupper()]
        mixed = [w for w in capital if not w.isupper()]
        shout = sum(n for w, n in seen.spelled.items() if w.isupper())
        if mixed and shout < 0.5 * sum(seen.spelled.values()):
            return mixed[0]
        return capital[0]


_NOUNS_IN_ED = _set("speed need seed feed breed weed deed med creed united")
_NOUNS_LIKE_ADJECTIVES = _set("cable table vegetable bible wireless business handful")
