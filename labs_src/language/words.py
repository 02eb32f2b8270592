"""The words of the mini language: pools from which templates draw, with what the world says about each.

A pool is a list of entries. An entry is a word (or several) and its attributes: ``country`` entries know their
capital, currency and continent, names know their pronouns, tags know how they close. Facts are real-world facts.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One thing that a slot can hold: its words, and attribute -> words."""

    words: str
    attrs: dict[str, str]


SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<user>", "<model>", "<end>")

_COUNTRIES = """
France Paris euro Europe|Japan Tokyo yen Asia|Norway Oslo krone Europe|Sweden Stockholm krona Europe
Poland Warsaw zloty Europe|Hungary Budapest forint Europe|Turkey Ankara lira Asia|Thailand Bangkok baht Asia
Vietnam Hanoi dong Asia|China Beijing yuan Asia|Korea Seoul won Asia|Egypt Cairo pound Africa
Kenya Nairobi shilling Africa|Ghana Accra cedi Africa|Nigeria Abuja naira Africa|Morocco Rabat dirham Africa
Peru Lima sol America|Chile Santiago peso America|Brazil Brasilia real America|Canada Ottawa dollar America
Cuba Havana peso America|Iran Tehran rial Asia|Iraq Baghdad dinar Asia|Jordan Amman dinar Asia
Greece Athens euro Europe|Italy Rome euro Europe|Spain Madrid euro Europe|Portugal Lisbon euro Europe
Germany Berlin euro Europe|Austria Vienna euro Europe|Ireland Dublin euro Europe|Finland Helsinki euro Europe
Iceland Reykjavik krona Europe|Denmark Copenhagen krone Europe|Russia Moscow rouble Europe|Ukraine Kyiv hryvnia Europe
Romania Bucharest leu Europe|Bulgaria Sofia lev Europe|Albania Tirana lek Europe|Serbia Belgrade dinar Europe
Nepal Kathmandu rupee Asia|Pakistan Islamabad rupee Asia|Laos Vientiane kip Asia|Zambia Lusaka kwacha Africa
Angola Luanda kwanza Africa|Senegal Dakar franc Africa|Mali Bamako franc Africa|Uganda Kampala shilling Africa
"""


def _countries() -> list[Entry]:
    rows = [row.split() for row in _COUNTRIES.replace("\n", "|").split("|") if row.strip()]
    return [Entry(c, {"capital": city, "currency": money, "continent": where}) for c, city, money, where in rows]


def _plain(words: str) -> list[Entry]:
    return [Entry(w.replace("_", " "), {}) for w in words.split()]


def _people(words: str, she: str, her: str, him: str) -> list[Entry]:
    return [Entry(w, {"she": she, "her": her, "him": him}) for w in words.split()]


def _pairs(words: str, attr: str) -> list[Entry]:
    return [Entry(w.split(":")[0].replace("_", " "), {attr: w.split(":")[1]}) for w in words.split()]


LETTERS = "x y z n k m"
"""Maths variables and code arguments: one surface, two roles (the planted confound)."""

TAGS = ("p", "div", "h1", "h2", "li", "cell", "title", "quote")

_NONCE = """
blick wug dax zorp mib tal fep gork lusk plim quon rell snib trog vash wint yalt zemp brov clune drist flim grell hask
jorp kelb lorn murv nasp nomber pryd ruft skell thrum gurbo veld whisk yorn zill crone dunk frab glint holt jask krim
lebb morv nime
"""
NONCE: tuple[str, ...] = tuple(_NONCE.split())
"""Made-up words: no meaning, so that only the context can say which one follows which."""

POOLS: dict[str, list[Entry]] = {
    "country": _countries(),
    "name": _people("Anna Mary Clara Emma Ruth Sara Nora Lucy Ida Rosa Eva Jane", "she", "her", "her")
    + _people("Tom John Paul Omar Hugo Max Ivan Luis Karl Noah Sam Leo", "he", "his", "him"),
    "thing": _plain("key lamp ring book letter map coin clock knife bottle hat box drum mirror rope basket"),
    "colour": _plain("red blue green white black yellow grey brown"),
    "place": _plain("kitchen garden market library station cellar tower harbour office barn chapel attic"),
    "goods": _plain("apples pears plums figs eggs candles nails shirts hens carpets lemons bricks"),
    "food": _plain("flour sugar butter milk rice salt honey cream cheese yeast"),
    "vessel": _plain("bowl pan pot dish tin"),
    "amount": _plain("cups spoons jars pounds"),
    "way": _plain("slowly quickly gently well twice"),
    "n": _plain("2 3 4 5 6 7 8 9"),
    "tens": _plain("10 15 20 30 40 60"),
    "day": _plain(" ".join(str(i) for i in range(1, 29))),
    "month": _plain("january february march april may june july august september october november december"),
    "weekday": _pairs(
        "monday:tuesday tuesday:wednesday wednesday:thursday thursday:friday friday:saturday saturday:sunday "
        "sunday:monday",
        "next",
    ),
    "year": _plain("1801 1812 1825 1830 1848 1851 1867 1876 1889 1900 1912 1920 1933 1945 1956 1969"),
    "event": _plain("bridge school museum railway hospital canal theatre mill"),
    "var": _plain(LETTERS),
    "arg": _plain(LETTERS),
    "func": _plain("add scale merge sort load save count check split swap"),
    "op": _plain("+ - *"),
    "object": _plain("group ring field set graph tree space map"),
    "property": _plain("finite closed simple connected compact regular"),
    "part": _pairs("node:nodes point:points corner:corners subset:subsets path:paths curve:curves", "many"),
    "tag": [Entry(f"<{t}>", {"close": f"</{t}>"}) for t in TAGS],
    "inline": [Entry(f"<{t}>", {"close": f"</{t}>"}) for t in ("b", "i", "span")],
    "party": _plain("tenant landlord buyer seller owner agent lender borrower"),
    "duty": _plain("pay deliver repair insure return inspect keep"),
    "asset": _plain("rent goods house vehicle loan deposit land"),
    "fault": _plain("liable guilty negligent insolvent"),
    "work": _plain("software program library document source file"),
    "act": _plain("use copy modify publish distribute sell"),
    "team": _pairs("group:has team:has scientist:has laboratory:has researchers:have students:have", "have"),
    "finding": _pairs("result:has study:has experiment:has results:have measurements:have tests:have", "have"),
    "quantity": _plain("mass charge speed density volume temperature energy pressure"),
    "sample": _plain("crystal gas liquid metal cell star rock fluid"),
    "done": _plain("measured observed recorded tested computed described"),
    "shown": _plain("shown confirmed suggested proved"),
    "change": _plain("increased decreased doubled vanished"),
    "animal": _plain("cat dog horse sheep crow goat"),
    "mood": _plain("happy tired late busy hungry angry"),
}
"""Slot type -> entries. The slot's type is its default role."""

FACTS = ("capital", "currency", "continent")


def world(fact: str) -> dict[str, str]:
    """Country -> its capital, currency or continent.

    Raises:
        ValueError: for a fact that this world does not hold.
    """
    if fact not in FACTS:
        raise ValueError(f"no fact {fact!r}; facts: {', '.join(FACTS)}")
    return {e.words: e.attrs[fact] for e in POOLS["country"]}
