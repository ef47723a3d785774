"""The words of the grammar: closed lists, and syllables that names are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A transitive verb in the forms that the grammar needs, all regular or listed."""

    base: str
    third: str
    past: str
    participle: str


def _verb(forms: str) -> Verb:
    return Verb(*forms.split())


# Pairs that mean the same: what a paraphrase may exchange.
VERBS: tuple[tuple[Verb, Verb], ...] = tuple(
    (_verb(one), _verb(other))
    for one, other in (
        ("buy buys bought bought", "purchase purchases purchased purchased"),
        ("build builds built built", "construct constructs constructed constructed"),
        ("mend mends mended mended", "repair repairs repaired repaired"),
        ("find finds found found", "discover discovers discovered discovered"),
        ("hide hides hid hidden", "conceal conceals concealed concealed"),
        ("carry carries carried carried", "transport transports transported transported"),
        ("watch watches watched watched", "observe observes observed observed"),
        ("wash washes washed washed", "clean cleans cleaned cleaned"),
        ("praise praises praised praised", "admire admires admired admired"),
        ("steal steals stole stolen", "snatch snatches snatched snatched"),
        ("paint paints painted painted", "colour colours coloured coloured"),
        ("sell sells sold sold", "trade trades traded traded"),
        ("break breaks broke broken", "smash smashes smashed smashed"),
        ("lose loses lost lost", "misplace misplaces misplaced misplaced"),
    )
)
INTRANSITIVE = tuple(
    _verb(forms)
    for forms in (
        "sleep sleeps slept slept", "sing sings sang sung", "laugh laughs laughed laughed",
        "swim swims swam swum", "dance dances danced danced", "smile smiles smiled smiled",
        "arrive arrives arrived arrived", "work works worked worked", "speak speaks spoke spoken",
        "run runs ran run", "wait waits waited waited", "cry cries cried cried",
    )
)
GIVING = tuple(
    _verb(forms)
    for forms in (
        "give gives gave given", "send sends sent sent", "show shows showed shown", "lend lends lent lent",
    )
)

# (noun, plural, synonym or None, hypernym, pronoun)
ROLES: tuple[tuple[str, str, str | None, str], ...] = (
    ("doctor", "doctors", "physician", "she"),
    ("teacher", "teachers", "tutor", "he"),
    ("sailor", "sailors", "seaman", "he"),
    ("farmer", "farmers", None, "he"),
    ("baker", "bakers", None, "she"),
    ("lawyer", "lawyers", "attorney", "she"),
    ("writer", "writers", "author", "he"),
    ("thief", "thieves", "robber", "he"),
    ("soldier", "soldiers", None, "he"),
    ("singer", "singers", "vocalist", "she"),
    ("merchant", "merchants", "trader", "he"),
    ("queen", "queens", None, "she"),
    ("painter", "painters", None, "she"),
    ("judge", "judges", None, "she"),
    ("nurse", "nurses", None, "she"),
    ("miller", "millers", None, "he"),
)
# (noun, plural, synonym or None, hypernym)
THINGS: tuple[tuple[str, str, str | None, str], ...] = (
    ("horse", "horses", None, "animal"),
    ("goat", "goats", None, "animal"),
    ("dog", "dogs", None, "animal"),
    ("boat", "boats", "ship", "vehicle"),
    ("cart", "carts", "wagon", "vehicle"),
    ("coat", "coats", "jacket", "garment"),
    ("hat", "hats", None, "garment"),
    ("table", "tables", "desk", "furniture"),
    ("chair", "chairs", "seat", "furniture"),
    ("violin", "violins", "fiddle", "instrument"),
    ("drum", "drums", None, "instrument"),
    ("sword", "swords", "blade", "weapon"),
    ("bow", "bows", None, "weapon"),
    ("house", "houses", "home", "building"),
    ("tower", "towers", None, "building"),
    ("letter", "letters", "note", "document"),
    ("map", "maps", "chart", "document"),
    ("ring", "rings", None, "jewel"),
    ("crown", "crowns", None, "jewel"),
    ("lamp", "lamps", "lantern", "light"),
)
# (adjective, synonym)
ADJECTIVES: tuple[tuple[str, str], ...] = (
    ("old", "ancient"), ("small", "little"), ("big", "large"), ("pretty", "beautiful"), ("broken", "damaged"),
    ("expensive", "costly"), ("famous", "renowned"), ("heavy", "weighty"), ("red", "crimson"), ("strange", "odd"),
)
PLACES = ("at the market", "near the river", "in the forest", "behind the church", "by the harbour", "on the hill",
          "in the castle", "at the station")
TIMES = ("yesterday", "last week", "on Monday", "in the morning", "during the storm", "after dinner", "in winter",
         "at midnight")
MODALS = ("will", "can", "must", "should", "may")

FAMILY_START = ("Tol", "Bren", "Kar", "Mor", "Hal", "Ves", "Dun", "Lor", "Pel", "Rav", "Sten", "Gar")
FAMILY_END = ("ven", "dal", "wick", "rin", "mond", "sey", "ton", "berg")
TOWN_START = ("Vel", "Ash", "Cor", "Dray", "El", "Fen", "Gol", "Hart", "Ith", "Jor", "Kel", "Lin")
TOWN_END = ("mora", "ford", "haven", "bury", "stead", "mouth")
FIRST_NAMES = {
    "she": ("Mara", "Elin", "Tessa", "Nora", "Ida", "Clara", "Freya", "Rosa", "Vera", "Lena", "Anna", "Greta"),
    "he": ("Jonas", "Piet", "Oskar", "Hugo", "Emil", "Karl", "Felix", "Anton", "Bruno", "Leo", "Max", "Viktor"),
}
