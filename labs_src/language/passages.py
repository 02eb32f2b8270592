"""What is said in each domain: short passages with slots.

Notation, all separated by spaces:
    word            a literal; ``word/role`` gives it a role (else ``glue`` for function words, ``punct``, ``word``)
    {name1}         a slot: the pool ``name``; drawn at the first mention, repeated after that. Two slots of a pool
                    differ within a passage. ``{name1/buyer}`` gives it a role.
    {country1.capital}   what the world says of the slot's value
    {a@b:why}       this token depends on the last mention of slot b, because of ``why``
    {=n1+n2}        a number computed from two slots
    [a|b c|]        one of several, equally likely; may be nested
    {*list}         a passage of another list, with slots of its own
"""

from __future__ import annotations

PASSAGES: dict[str, list[str]] = {
    "maths": [
        "definition : a {property1} {object1/term} is a {object2} with [at least|at most|exactly] {n1} "
        "{part1.many} . "
        "[every {property1} {object1/term} is a {object2} .|]",
        "definition : let {var1} be a {part1} of the {object1} . then {var1} is called {property1} if it is "
        "{property2} .",
        "theorem : every {property1} {object1} is {property2} . proof : suppose that the {object1} is not "
        "{property2} . "
        "then it is not {property1} , a contradiction .",
        "{n1/addend} + {n2/addend} = {=n1+n2} .",
        "{n1/addend} + {n2/addend} = {=n1+n2} , so {=n1+n2} - {n2/addend} = {n1/addend} .",
        "let {var1} = {n1/addend} . then {var1} + {n2/addend} = {=n1+n2} .",
        "the sum of {n1/addend} and {n2/addend} is {=n1+n2} .",
        "if a {object1} is {property1} , then [it is|its {part1} is] {property2} .",
        "lemma : a {object1} is {property1} if and only if it has {n1} {part1.many} .",
        "no {object1} is both {property1} and {property2} . [thus a {property1} {object1} is not {property2} .|]",
    ],
    "code": [
        "def {func1} ( {arg1} , {arg2} ) : return {arg1} {op1} {arg2} .",
        "def {func1} ( {arg1} ) : {arg1} = {arg1} {op1} {n1} ; return {arg1} .",
        "for {arg1} in {func1} ( {arg2} ) : print ( {arg1} ) .",
        "if {arg1} > {arg2} : {arg1} = {arg2} ; return {arg1} .",
        "{arg1} = {func1} ( {arg2} , {arg3} ) ; print ( {arg1} ) .",
        "while {arg1} < {n1} : {arg1} = {arg1} + 1 ; {arg2} = {func1} ( {arg1} ) .",
        "{arg1} = {n1} ; {arg2} = {arg1} ; {arg3} = {func1} ( {arg1} , {arg2} ) .",
        "def {func1} ( {arg1} , {arg2} , {arg3} ) : return {func2} ( {arg1} , {func1} ( {arg2} , {arg3} ) ) .",
        "{func1} ( {arg1} , {func2} ( {arg2} ) ) ; {func2} ( {arg1} ) .",
    ],
    "markup": [
        "{tag1} {*caption} {tag1.close}",
        "{tag1} {tag2} {*caption} {tag2.close} {tag1.close}",
        "{tag1} {tag2} {*caption} {tag2.close} {tag3} {*caption} {tag3.close} {tag1.close}",
        "<ul>/list_open <li>/item_open {*caption} </li>/item_close <li>/item_open {*caption} "
        "</li>/item_close "
        "[<li>/item_open {*caption} </li>/item_close|] </ul>/list_close",
        "<table>/list_open <row>/item_open {tag1} {n1} {tag1.close} {tag1} {n2} {tag1.close} "
        "</row>/item_close "
        "</table>/list_close",
        "{tag1} the {colour1} {inline1} {thing1} {inline1.close} . {tag1.close}",
    ],
    "caption": [
        "the {colour1} {thing1}",
        "a {thing1} in the {place1}",
        "{name1} and {name2}",
        "{month1} {year1}",
        "see the {place1}",
        "{n1} {goods1}",
    ],
    "licence": [
        "permission is [hereby|] granted to {act1} and {act2} this {work1} .",
        "you may/modal {act1} this {work1} provided that this notice is kept .",
        "you may/modal not/not {act1} the {work1} without [written|] permission .",
        "you may/modal {act1} , {act2} and {act3} the {work1} [free of charge|for any purpose] .",
        "the {work1} is provided as is , without warranty of any kind . the authors are not/not liable for "
        "any damage .",
        "this notice shall/modal be included in every copy of the {work1} . you may/modal {act1} the {work1} .",
        "anyone may/modal {act1} the {work1} , but nobody may/modal {act2} it [for profit|under another name] .",
    ],
    "law": [
        "the {party1} shall/modal {duty1} the {asset1} within {tens1} days . if the {party1} does not/not "
        "{duty1} the "
        "{asset1} , the {party2} may/modal end the contract .",
        "the {party1} may/modal not/not sell the {asset1} unless the {party2} agrees in writing .",
        "the court held that the {party1} was {fault1} . the {party1} has appealed .",
        "the {party1} and the {party2} have signed a contract . under the contract the {party1} shall/modal "
        "{duty1} the "
        "{asset1} and the {party2} shall/modal {duty2} the {asset2} .",
        "where the {party1} is {fault1} , the court may/modal order the {party1} to {duty1} the {asset1} .",
        'in the contract , " {asset1/term} " means the {asset1/term} of the {party1} .',
        "each party/party shall/modal {duty1} the {asset1} . neither party/party may/modal {duty2} it .",
        "the judge found the {party1} {fault1} and ordered a fine of {tens1} {country1.currency/money} in "
        "{country1.capital/city} .",
    ],
    "science": [
        "the {team1} {team1.have} {done1@team1:tense} the {quantity1} of the {sample1} .",
        "the {team1} {team1.have} {done1@team1:tense} the {quantity1} of the {sample1} . the {finding1} "
        "{finding1.have} "
        "{shown1@finding1:tense} that the {quantity1} has {change1} .",
        "the {finding1} {finding1.have} {shown1@finding1:tense} that the {quantity1} of a {sample1} depends "
        "on its "
        "{quantity2} .",
        "since {year1} the {team1} {team1.have} {done1@team1:tense} {n1} {sample1} samples . no sample has {change1} .",
        "as the {quantity1} has {change1} , the {quantity2} of the {sample1} has {change2} [too|again] .",
        "{name1} has {done1} the {quantity1} of {n1} {sample1} samples . {name1.she} has {shown1} that it "
        "has {change1} .",
        "until now nobody has {done1} the {quantity1} of this {sample1} . the {team1} {team1.have} now {done1} it .",
    ],
    "recipe": [
        "take {n1} {amount1} of {food1} and {n2} {amount2} of {food2} . mix the {food1} with the {food2} . "
        "bake for {tens1} minutes .",
        "put the {food1} in a {vessel1} . add the {food2} and stir {way1} . [cover the {vessel1} and wait .|]",
        "melt the {food1} in a {vessel1} , then pour it over the {food2} .",
        "beat {n1} eggs with the {food1} . add the {food2} , but not/not the {food3} . cook {way1} for "
        "{tens1} minutes .",
        "for the cake you need {food1} , {food2} and {food3} . first mix the {food1} and the {food2} , then "
        "add the {food3} .",
        "heat the {vessel1} . when the {vessel1} is hot , add the {food1} [and a little {food2}|] .",
        "serve the {food1} with {food2} [on {weekday1}|] .",
    ],
    "geography": [
        "the capital of {country1} is {country1.capital} .",
        "{country1.capital} is the capital of {country1:capital_of} .",
        "the currency of {country1} is the {country1.currency} .",
        "in {country1} people pay with the {country1.currency} .",
        "{country1} is a country in {country1.continent} . its capital is {country1.capital} .",
        "the capital of {country1} is not/not {country2.capital/wrong} but {country1.capital} .",
        "what is the capital of {country1} ? it is {country1.capital} .",
        "{name1} lives in {country1} , in the capital , {country1.capital} . {name1.she} pays with the "
        "{country1.currency} .",
        "{country1} lies in {country1.continent} and {country2} lies in {country2.continent} .",
        "the capital of {country1} is {country1.capital} , and the capital of {country2} is {country2.capital} .",
        "what is the capital of {country1} ? {*clutter} [{*clutter}|] the capital of {country1} is "
        "{country1.capital} .",
        "from {country1} we flew to {country2.capital/city} , and from {country2} we flew to {country1.capital} .",
    ],
    "clutter": [
        "the {colour1} {thing1} is old .",
        "it is {weekday1} .",
        "{name1} is {mood1} today .",
        "there are {n1} {goods1} on the table .",
        "the {animal1} sleeps in the {place1} .",
        "the capital of {country1} is {country1.capital} .",
        "the currency of {country1} is the {country1.currency} .",
        "{country1} is far away .",
        "nobody reads the {colour1} {thing1} .",
        "we saw {country1.capital/city} in {month1} .",
    ],
    "trade": [
        "{name1} bought {n1} {goods1} from {name2} for {tens1} coins . {name1.she} paid {name2} {tens1} coins .",
        "{name1} sold {n1} {goods1} to {name2} . {name2} paid {name1} with a {thing1} .",
        "the price of {goods1} is {n1} coins . the price of {goods2} is {n2} coins .",
        "{name1} had {n1/addend} {goods1} and bought {n2/addend} more . now {name1.she} has {=n1+n2} {goods1} .",
        "in {country1.capital/city} {name1} paid {tens1} {country1.currency} for the {goods1} .",
        "{name1} and {name2} went to the {place1} . {name2} gave {n1} {goods1} to {name1} .",
        "a merchant from {country1} sells {goods1} , {goods2} and {goods3} . {name1} wants the {goods1} .",
    ],
    "dialogue": [
        '{name1} said : " where is {name2} ? " {name3} said : " {name2} is in the {place1} . "',
        "when {name1} and {name2} went to the {place1} , [{name2} gave a {thing1} to {name1:other_name}|"
        "{name1} gave a {thing1} to {name2:other_name}] .",
        "then {name1} and {name2} sat in the {place1} , and [{name1} gave the {thing1} to {name2:other_name}|"
        "{name2} gave the {thing1} to {name1:other_name}] .",
        '" are you {mood1} , {name1} ? " asked {name2} . " yes , {name2} , I am {mood1} , " said {name1} .',
        '{name1} asked {name2} for the {thing1} . " I have no {thing1} , " {name2.she} said .',
        "{name1} met {name2} . {name1} and {name2} talked about {name3} . {name3} was {mood1} .",
        '" come to my party/feast on {weekday1} , {name1} , " said {name2} . {name1} came with {name1.her} {animal1} .',
        "{name1} told {name2} that {name1.she} was {mood1} . {name2} told {name1} to wait .",
    ],
    "lists": [
        "list : {goods1} , {goods2} , {goods3} and {goods4} .",
        "list : {n1} {goods1} , {n2} {goods2} and {n3} {goods3} .",
        "count : 1/count 2/count 3/count 4/count 5/count 6/count 7/count [8/count 9/count 10/count .|.]",
        "order : {colour1} , {colour2} , {colour3} . again : {colour1} , {colour2} , {colour3} .",
        "order : {n1} , {n2} , {n3} , {n4} . again : {n1} , {n2} , {n3} , {n4} .",
        "names : {name1} , {name2} , {name3} . the first is {name1:position} , the last is {name3:position} .",
        "items : the {thing1} , the {thing2} and the {thing3} . the last item is the {thing3:position} .",
        "{n1} {goods1} . {n2} {goods1} . {n3} {goods1} .",
    ],
    "dates": [
        "on {day1} {month1} {year1} the {event1} in {country1.capital/city} was opened .",
        "the {event1} was built in {month1} {year1} and closed in {month2} [of the same year|] .",
        "{name1} was born on {day1} {month1} {year1} in {country1} .",
        "yesterday was {weekday1} , so today is {weekday1.next} .",
        "the day after {weekday1} is {weekday1.next} .",
        "monday/weekday , tuesday/weekday , wednesday/weekday , thursday/weekday , friday/weekday .",
        "from {month1} to {month2} the {event1} is closed . it opens again in {month2} .",
        "the meeting is on {weekday1} , {day1} {month1} . {name1} cannot come on {weekday1} .",
    ],
    "fieldnotes": [
        "we found a {nonce1} near the {place1} . the {nonce1} was {colour1} .",
        "a {nonce1} is not/not a {nonce2} . the {nonce1} sleeps , but the {nonce2} sings .",
        "note : the word {nonce1} means {thing1} . [{*clutter}|] so {nonce1} is a {thing1:retrieve} .",
        "{name1} saw the {nonce1} on {weekday1} . [{*clutter}|{*clutter} {*clutter}|] {name1.she} drew the {nonce1} .",
        "they call it {nonce1} . why do they call it {nonce1} ? [because it is {colour1} .|]",
        "song : {chant1/nonce} . once more : {chant1/nonce} .",
        "they sang : {chant1/nonce} . we sang it too : {chant1/nonce} . [and again : {chant1/nonce} .|]",
        "{name1} wrote : {chant1/nonce} . {name2} read : {chant1/nonce} .",
        "copy : {nonce1} , {nonce2} , {nonce3} , {nonce4} . again : {nonce1} , {nonce2} , {nonce3} , {nonce4} .",
        "copy : {nonce1} , {nonce2} . again : {nonce1} , {nonce2} .",
        '" {nonce1} , " said {name1} . " {nonce1} ? " asked {name2} .',
    ],
    "inventory": [
        "the {thing1} is in the {place1} . the {thing2} is in the {place2} . [{*clutter}|] where is the "
        "[{thing1} ? in the {place1:retrieve}|{thing2} ? in the {place2:retrieve}] .",
        "{name1} has the {thing1} and {name2} has the {thing2} . who has the "
        "[{thing1} ? {name1:retrieve}|{thing2} ? {name2:retrieve}] .",
        "{name1} has the {thing1} and {name2} has the {thing2} . [{*clutter}|{*clutter} {*clutter}] who has the "
        "[{thing1} ? {name1:retrieve}|{thing2} ? {name2:retrieve}] .",
        "{name1} has the {thing1} , {name2} has the {thing2} and {name3} has the {thing3} . [|{*clutter}|"
        "{*clutter} {*clutter}|{*clutter} {*clutter} {*clutter} {*clutter}] who has the [{thing1} ? {name1:retrieve}|"
        "{thing2} ? {name2:retrieve}|{thing3} ? {name3:retrieve}] .",
        "the {thing1} is {colour1} , the {thing2} is {colour2} and the {thing3} is {colour3} . [{*clutter}|] "
        "the {thing3} is {colour3:retrieve} and the {thing1} is {colour1:retrieve} .",
    ],
    "chat": [
        "<user>/marker good morning , {name1} . <end>/marker <model>/marker good morning . <end>/marker",
        "<user>/marker is {name1} {mood1} ? <end>/marker <model>/marker yes . <end>/marker",
        "<user>/marker see the {thing1} . <end>/marker <model>/marker the {thing1} . <end>/marker",
    ],
}

DOMAINS: dict[str, float] = {
    "maths": 1.0, "code": 1.0, "markup": 0.7, "licence": 0.8, "law": 1.0, "science": 1.0, "recipe": 0.8,
    "geography": 2.0, "trade": 1.0, "dialogue": 1.0, "lists": 0.8, "dates": 0.8, "fieldnotes": 1.6,
    "inventory": 1.8, "chat": 0.15,
}  # fmt: skip
"""Domain -> weight with which a passage starts there. ``caption`` and ``clutter`` only appear inside others."""

_GLUE = """
the a an of in is are was were to and or but with for on at by from that this it its be has have had not no if
then so as every each any both there they we you I my he she his her him
"""
GLUE = frozenset(_GLUE.split())
"""Function words: the default role ``glue``."""

FACT_TEMPLATES = (1, 3, 4, 5, 6, 7)
"""Geography templates (by number) whose countries are split: training text never uses some of them there. The plain
statements (0, 2, 8) are left whole, so that every fact is stated somewhere."""
