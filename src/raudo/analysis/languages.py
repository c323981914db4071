"""Which language a text is in: by its script, its function words and its telling letters.

A small detector that would rather say `"und"` (undetermined) than guess. It knows the languages
of `LANGUAGES`; text in another one that shares words and letters with one of these may be taken
for it. `benchmarks/bench_analysis_figures.py` prints how often it is right, on real text.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.words import WordCounts

__all__ = ["LANGUAGES", "UNDETERMINED", "detect", "letter_classes"]

UNDETERMINED = "und"

# Function words: frequent in any text of the language, whatever it is about. A word that is in
# several lists counts for each of them in equal parts.
_WORDS = {
    "en": "the of and to in is that for it with as was on are be by this have from or an at not "
    "which you but can his her they we he she has had were their been will would if when "
    "your what there who so all more other than into about do does please should must may "
    "its these those using use i my our them how only no any where",
    "es": "de la que el en y a los del se las por un para con no una su al lo como más pero sus "
    "le ya o este sí porque esta entre cuando muy sin sobre también me hasta hay donde "
    "quien desde es son está han ser puede ha uno tiene si debe estos esto otro eso "
    "ese sido cada",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce "
    "il sont avec son aux ou cette d l qu être mais ont comme nous vous ces été leur sa ses "
    "n s si c même deux elle tout doit peut votre je on lui sans où avez êtes fait aucun "
    "veuillez",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch "
    "es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über "
    "einen so zum haben nur oder aber vor zur bis mehr durch man sein wurde sei bitte ihre "
    "ihr kann muss diese dieser dieses wenn keine ich wir kein können ihnen",
    "it": "di e il la che in un a per è del una non con si i da le dei al sono come nel alla più "
    "gli della lo ma delle anche o ha su se dal nella cui ad questo ed all dell suo sua era "
    "essere due questa ci stato deve può tra degli ai hanno dalla sulla nell quando io mi "
    "ne l uno",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi "
    "ao ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até "
    "isso ela entre era depois sem mesmo aos são pode este esta deve você estes foram num "
    "nem suas meu",
    "nl": "de het een en van in is dat op te zijn met voor niet die aan er om ook als dan maar "
    "bij uit nog naar heeft hij door over ze zich of wordt deze worden je dit was geen kan "
    "meer al wel hebben u moet uw tot zo ik we zij hebt wat werd waar welke",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag från "
    "vi så kan när år under också efter eller nu sin där vid mot ska skulle kommer ut får "
    "finns vara hade alla andra mycket än här då du denna detta inga bara måste ange din "
    "kunde",
    "da": "og i at det er en til på af for med den der de som har ikke et om men var jeg fra vi "
    "så kan når år under også efter eller nu sin hvor ved mod skal skulle kommer ud får "
    "være havde alle andre meget end her da du denne dette ingen kun blev bliver din nogle "
    "hvis",
    "pl": "w i na z się nie do to że jest o jak od po a za przez przy dla są być ten ale tym co "
    "czy ma tego jego które który która tylko oraz było został już może lub tej jej ich też "
    "bardzo gdy była był aby ze pod wszystkie musi tych proszę ta te",
    "cs": "a se v na je že o s z do i to k ve pro za by ale si po jako podle od jsem tak jsou "
    "které který být jen nebo jeho bylo až byl už co také než při má však tento této není "
    "mezi může musí těchto pouze tato byla byly můžete u jsme bude jste",
    "tr": "ve bir bu da de için ile olarak çok daha olan gibi en kadar sonra ne ise her ya değil "
    "var ancak mi veya olduğu şu o ki göre tarafından hiç bütün diye lütfen olmalıdır az "
    "yok iki bunu tüm ben sen siz biz eğer nasıl olduğunu bunun",
    "id": "yang dan di dengan untuk ini dari dalam tidak pada itu adalah ke akan atau oleh juga "
    "sebagai dapat ada karena bahwa telah anda lebih bisa sudah saat mereka hanya kami saya "
    "harus kita seperti tersebut setiap antara belum satu lain jika para",
    "ru": "и в не на я что он с а как это по но из у за к от же для о так все было бы мы или то "
    "если его их она был есть уже при только ещё еще этот эта вы быть может до когда чтобы "
    "нет со во без том также более после этого которые который должно должен ваш вас "
    "является",
    "uk": "і в не на що з та у до за як це про але від для його він або так при є після також був "
    "були було бути щоб якщо цей ця ці вони ви ми її їх може тільки ще вже де без має й із "
    "зі по коли ваш який яка які через повинно",
    "bg": "на и да се за от в е не са с че по като със ще или но до при това към след тази този "
    "още само между във би бе има си му те може как което който която трябва",
}
# Languages whose script tells them. Arabic letters that only Persian, Urdu and others use are told
# apart, as Arabic is the one that is named.
_RANGES = {
    "latin": ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00)),
    "cyrillic": ((0x400, 0x530),),
    "han": ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0)),
    "kana": ((0x3041, 0x3100), (0x31F0, 0x3200), (0xFF66, 0xFFA0)),
    "hangul": ((0x1100, 0x1200), (0x3131, 0x318F), (0xAC00, 0xD7B0)),
    "arabic": ((0x620, 0x700), (0x750, 0x780), (0xFB50, 0xFE00), (0xFE70, 0xFEFF)),
    "greek": ((0x370, 0x400), (0x1F00, 0x2000)),
    "hebrew": ((0x5D0, 0x5EB),),
    "thai": ((0xE01, 0xE5C),),
    "other": ((0x530, 0x590), (0x700, 0x750), (0x780, 0xE00), (0xE80, 0x1100), (0x1200, 0x1E00)),
}
_BY_SCRIPT = {"han": "zh", "hangul": "ko", "arabic": "ar", "greek": "el", "hebrew": "he"}
_BY_SCRIPT["thai"] = "th"
# Letters that few of the languages have, or that none of them has; the latter argue for "und".
_TELLING = {
    "es": "ñ¿¡",
    "de": "ß",
    "pt": "ãõ",
    "pl": "łąęśżźćń",
    "cs": "ěřů",
    "tr": "ğış",
    "sv": "å",
    "da": "æøå",
    "ru": "ыэё",
    "uk": "іїєґ",
    "bg": "ъ",
    "no_latin": "őűțăđðþāēģīķļņšūėįų",
    "no_cyrillic": "ўјљњћџђѓќѕәғқңөұүһ",
    "no_arabic": "گچپژکیےٹڈںھۆێەڵڕ",
}

LANGUAGES = (*_WORDS, *_BY_SCRIPT.values(), "ja")

_LEAST_POINTS = 2.0
_LEAST_SHARE = 0.1  # of the words
_LEAD = 1.3  # over the second
_LETTER_POINTS = 0.5
_KANA_SHARE = 0.1  # a Chinese text may quote a few
_FOREIGN_SHARE = 0.01


@cache
def letter_classes() -> tuple[NDArray[np.uint8], list[str], NDArray[np.float64]]:
    """Return the class of each code point, (0x110000,), names of scripts and of groups of letters,
    and what a letter of each class counts for each name, (classes, names).
    """
    names = [*_RANGES, *_TELLING]
    classes = np.zeros(0x110000, np.uint8)
    shares = [np.zeros(len(names))]
    for number, ranges in enumerate(_RANGES.values(), 1):
        for lo, hi in ranges:
            classes[lo:hi] = number
        shares.append(np.eye(len(names))[number - 1])
    classes[[0xD7, 0xF7]] = 0  # the signs of multiplication and division
    groups: dict[str, list[str]] = {}
    for group, letters in _TELLING.items():
        for letter in letters:
            groups.setdefault(letter, []).append(group)
    for letter, sharing in groups.items():
        share = shares[classes[ord(letter)]].copy()
        share[[names.index(group) for group in sharing]] = 1 / len(sharing)
        for each in {letter, letter.upper()}:
            if len(each) == 1:
                classes[ord(each)] = len(shares)
        shares.append(share)
    return classes, names, np.array(shares)


@cache
def _function_words() -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """Return the hashes of all function words, and the points of each for each language."""
    of: dict[str, set[int]] = {}
    for number, words in enumerate(_WORDS.values()):
        for word in words.split():
            of.setdefault(word, set()).add(number)
    points = np.zeros((len(of), len(_WORDS)))
    for row, numbers in zip(points, of.values(), strict=True):
        row[list(numbers)] = 1 / len(numbers)
    return text.tokenise(list(of))[1], points


def detect(words: WordCounts, letters: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the language of each document, an ISO 639-1 code or `"und"`, (n,) str.

    `letters` (n, classes) counts the letters of each document by `letter_classes`.
    """
    _, names, shares = letter_classes()
    by_name = dict(zip(names, (letters @ shares).T, strict=True))
    found = np.full(len(words), UNDETERMINED, "<U3")
    n_letters = sum(by_name[script] for script in _RANGES)
    n_letters = np.maximum(n_letters, 1)

    points = np.zeros((len(words), len(_WORDS)))
    hashes, of = _function_words()
    at, which = text.find_among(words.words, hashes)
    rows = np.searchsorted(words.offsets, at, side="right") - 1
    np.add.at(points, rows, of[which] * words.counts[at, None])
    for number, language in enumerate(_WORDS):
        if language in by_name:
            points[:, number] += _LETTER_POINTS * by_name[language]
    best = points.argmax(axis=1)
    first, second = np.sort(points, axis=1)[:, :-3:-1].T
    is_certain = (
        (first >= _LEAST_POINTS)
        & (first >= _LEAST_SHARE * words.lengths)
        & (first >= _LEAD * second)
    )
    alphabetic = (by_name["latin"] + by_name["cyrillic"]) / n_letters > 0.5
    foreign = by_name["no_latin"] + by_name["no_cyrillic"] + by_name["no_arabic"]
    is_certain &= alphabetic & (foreign <= _FOREIGN_SHARE * n_letters)
    codes = np.array(list(_WORDS), "<U3")
    found[is_certain] = codes[best[is_certain]]

    for script, language in _BY_SCRIPT.items():
        found[by_name[script] > 0.5 * n_letters] = language
    found[(by_name["no_arabic"] > _FOREIGN_SHARE * n_letters) & (found == "ar")] = UNDETERMINED
    kana, east = by_name["kana"], by_name["kana"] + by_name["han"]
    found[(east > 0.5 * n_letters) & (found != "ko")] = "zh"
    found[(east > 0.5 * n_letters) & (kana > _KANA_SHARE * east)] = "ja"
    return found
