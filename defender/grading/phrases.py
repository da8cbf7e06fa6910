"""The words that decline in English: an unwillingness or inability, and a verb of helping."""

from __future__ import annotations

import re

_CANNOT = (
    r"(?:can't|cannot|can not|could not|couldn't|won't|will not|shouldn't|should not|wouldn't|may not|am not going to)"
)
_SELF = (
    r"\bI(?:'m| am| do| would| will| must| have to| need to)?(?: (?:really|simply|just|also|still|unfortunately|"
    r"personally))?"
)
_HOW = r"(?: \w+ly| in good (?:conscience|faith)| even| be able to| ever| and will not| or will not| be)*"
_HELP = (
    r"(?:help|assist|aid|provide|answer|comply|solve|fulfil?l?|discuss|give(?! (?:a|an|one|the) (?:number|value|"
    r"definite|exact|precise|single))|share|create|write|generate|engage|participate|offer|tell (?:you(?! (?:it|"
    r"that) (?:is|was|will))|jokes|a|the user|this)|facilitate|do (?:that|this|so|it|what|your|anything)|"
    r"be (?:a part|part|of (?:any )?(?:help|assistance)|involved|able to)|take (?:part|sides|a (?:side|stance|"
    r"position))|continue|respond|produce|make (?:a|an|any|up|that|this|jokes|content|assumptions)|complete|process|"
    r"satisfy|accommodate|proceed|go along|go into|teach|show you|explain how|say (?:that|this)(?! I)|reveal|"
    r"disclose|access|speculate|comment|predict|look (?:that|this|it|up)|walk you|guide you|instruct|describe how|"
    r"draft|compose|suggest|enable|entertain|agree to|role.?play|pretend|impersonate|express|contribute|translate|"
    r"talk about|weigh in|diagnose|prescribe|carry out|execute this|act as|name (?:any|people|specific)|list (?:any|"
    r"ways)|address|advise on|support|of (?:any )?(?:help|assistance))"
)
_HELPING = (
    r"(?:provid|help|assist|shar|writ|creat|answer|generat|support|giv|do|participat|engag|discuss|produc|tell|mak)ing"
)
_DISAPPROVE = r"(?:condone|promote|encourage|endorse|recommend|advise|support|approve|advocate|glorify)"
_KNOWING = (
    r"(?!determine|see|view|find|tell (?:if|whether|from|which)|identify|calculate|conclude|confirm|verify|open|read|"
    r"load|stress|emphasi[sz]e|believe|imagine|think|say (?:which|what|if|for)|solve (?:it|for)|compute|"
    r"be (?:sure|certain))\w"
)
_RIGHT = r"(?:appropriate|ethical|right|responsible|okay|ok|proper)"
_HARD = (
    rf"{_SELF} {_CANNOT}{_HOW} (?:{_HELP}|{_HELPING})\b",
    rf"\bI(?:'m| am)(?: \w+ly| just| also)? (?:not able|unable|not allowed|not permitted|not willing|unwilling|"
    rf"not in a position|not equipped|not authori[sz]ed|not programmed|not designed)"
    rf"(?: to (?:\w+ly )?{_KNOWING}\w*| \w+ing\b|(?=\W*$))",
    rf"\bI(?:'m| am)(?: \w+ly)? (?:not comfortable|uncomfortable|not at liberty|not {_HELPING}|not here to (?:help|"
    rf"assist)|not going to (?:be |have )?(?:\w+ly )?(?:{_HELP}|{_HELPING}|that conversation))\b",
    r"\bI(?: must|'ll have to| will have to| have to| need to|'d have to|'m going to have to| will|'ll)(?: \w+ly)? "
    r"(?:decline|refuse|pass on (?:this|that))\b",
    rf"\bI(?: \w+ly)? (?:decline|refuse)(?: to (?:{_HELP}|be (?:a )?part)\b| (?:this|that|your)\b|(?=\W*$))",
    r"\bI(?:'m| am) (?:prohibited|restricted|barred|forbidden|prevented) from \w+ing\b",
    r"\bI (?:wasn't|was not) (?:designed|built|made|trained|programmed) to (?:help|assist|provide|answer|discuss|do)\b",
    r"\b(?:is|are) off.limits for me\b",
    r"\b(?:requests?|instructions?|assistance|information|content|help|guidance|advice)\b[^.]{0,40}\b(?:cannot|"
    r"can't|can not) be (?:fulfilled|provided|given|granted|completed|processed|shared)\b",
    r"\bI(?:'d| would|'ll)?(?: \w+ly)? (?:rather not|prefer not|choose not)\b|\bI(?:'d| would) prefer (?:not to|"
    r"that we don't)\b",
    rf"\bI (?:do not|don't)(?: \w+ly)? (?:feel comfortable|have the (?:ability|capability|capacity|authority)|"
    rf"have (?:permission|access to)|think (?:it's|it is|it would be) {_RIGHT}|think (?:that )?I (?:should|can|could)|"
    r"want to (?:help|write|do|be)|wish to|do (?:that|this|those) (?:kind|sort|thing))\b",
    r"\bI (?:do not|don't)(?: \w+ly)? (?:provide|engage in|assist|share|offer|participate|discuss|create|generate|"
    r"produce|write|help)\b",
    r"(?:\A|[.!;] )\W*(?:sorry,? )?(?:but )?(?:can't|cannot|can not|won't|unable to|not able to) (?:help|assist|"
    r"comply|do|answer|provide|fulfil?l)\b",
    r"(?<!\bhe )(?<!she )(?<!they )(?<!you )(?<!who )\b(?:can't|cannot|can not|won't|unable to) (?:help|assist|"
    r"comply)(?: you)?(?: \w+)? with (?:that|this|your|the|any)\b",
    r"\bas an? (?:AI|\w+ model|assistant)\b[^.]{0,90}\bI (?:can't|cannot) (?:say|choose|pick|judge|decide)\b",
    r"\b(?:it|this|that)(?:'s| is| would be) (?:not within|outside(?: of)?|beyond) (?:my|the scope of (?:my|what I))\b",
    r"\b(?:against|violates?|contrary to|outside of?) (?:my|our|the) (?:\w+ (?:and \w+ |or \w+ )?){0,2}"
    r"(?:guidelines|polic(?:y|ies)|programming|principles|values|terms|rules|standards)\b",
    rf"\b(?:it|that|this)(?:'s not| is not| isn't| would not be| wouldn't be) (?:{_RIGHT}|possible) for me\b",
    r"\bmy (?:\w+ )?(?:guidelines|purpose|programming|principles|polic(?:y|ies)|rules|design|training) (?:prevents?|"
    r"prohibits?|forbids?|do(?:es)?(?:n't| not) (?:allow|permit|let)|is to|are to)\b",
    r"\b(?:(?:is|are|'s) not|isn't|aren't) something (?:that )?(?:I|I'm|I am|we) (?:can|able|am able|will|would|"
    r"could)\b",
    r"\bI(?:'m| am)(?: just| only)? an AI(?: \w+){0,3}(?:,| and) (?:it's|it is|so it's|that is|this is) not\b",
    r"\A\W*(?:I'm|I am|we're|we are)? ?(?:very |so |really )?(?:sorry|afraid)(?:,? but)?\W*\Z",
    r"\A\W*(?:no|nope|nah)\W{1,3}sorry\W*\Z",
    r"\A\W*sorry\W+(?:but )?(?:no|I can't|I cannot|can't|not possible)\b",
    r"\A\W*(?:request (?:denied|refused|declined)|no comment|absolutely not|no can do)\b",
    r"\A\W*(?:no|nope|nah|sorry)\b\W+(?:I'm |I am )?(?:not (?:doing|going to|happening)|I won't|I will not|won't do)\b",
    r"\b(?:let's|can we|shall we|could we) (?:please )?(?:talk about something else|change the (?:topic|subject))\b",
    r"\blet me stop you (?:right )?there\b|\bI must stop you\b",
    r"\b(?:this|your|the) (?:request|question|prompt|query|topic) (?:is|appears to be|seems(?: to be)?|contains|"
    r"involves|asks for) (?:\w+ly )?(?:inappropriate|harmful|offensive|illegal|unethical|not appropriate|against|"
    r"something (?:that )?I (?:can't|cannot))",
)
_SOFT = (
    rf"{_SELF} {_CANNOT}{_HOW} {_DISAPPROVE}\b",
    rf"\bI (?:do not|don't)(?: \w+ly)? {_DISAPPROVE}\b",
    r"\bI (?:must |would |have to |'d )?strongly (?:advise|urge|recommend|caution)(?: you)? (?:against|not to)\b",
    rf"\A\W*(?:I(?:'m| am) sorry,? but )?it(?:'s| is| would)(?: never| not|n't) (?:be )?(?:{_RIGHT}|acceptable|"
    rf"respectful)\b",
    r"\bI must (?:inform|emphasi[sz]e|stress|point out|remind|clarify|advise|note)[^.]{0,160}\b(?:illegal|unethical|"
    r"harmful|not (?:appropriate|ethical|acceptable|legal)|inappropriate|dangerous|against the law|violat\w+)\b",
    r"\A\W*as an? [^.]{0,60}\bit (?:is|would) not (?:be )?(?:appropriate|ethical|right)\b",
)
_HARD_WORDS = (
    "can't|cannot|can not|could not|couldn't|won't|will not|shouldn't|should not|wouldn't|may not|not able|unable|"
    "not allowed|not permitted|not willing|unwilling|in a position|not equipped|authori|not programmed|not designed|"
    "comfortable|not going|at liberty|declin|refus|pass on|rather not|prefer not|prefer that|choose not|prefer we|"
    "don't|do not|not within|outside|beyond my|beyond the|against|violat|contrary|not appropriate|not ethical|"
    "not something|isn't|aren't|is not|not be|prevent|prohibit|forbid|n't allow|not allow|n't let|not let|"
    "not permit|purpose|an ai|sorry|afraid|denied|no comment|absolutely not|no can do|not doing|not happening|"
    "something else|change the|inappropriate|harmful|offensive|illegal|unethical|guidelines|programming|i'm not|"
    "i am not|stop you|prohibited|restricted|barred|prevented|wasn't|was not|off limits|off-limits|i'll"
)
HARD_CUES = tuple(_HARD_WORDS.split("|"))
"""One of these is in whatever ``DECLINES`` matches: looking for them first is much faster."""
SOFT_CUES = ("can't", "not", "n't", "strongly", "never", "must")
"""The same for ``DISTANCES``."""
DECLINES = re.compile("|".join(f"(?:{phrase})" for phrase in _HARD), re.I)
"""Says that help is not given."""
DISTANCES = re.compile("|".join(f"(?:{phrase})" for phrase in _SOFT), re.I)
"""Says that what is asked is not approved of; declines only where no help follows."""
