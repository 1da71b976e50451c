"""Check digits, by which a number of a card or a person is told from any other number."""

from __future__ import annotations

# First digits from, to, and lengths: issuer ranges (ISO/IEC 7812) that the networks publish.
CARD_RANGES: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4, 4, (16, 19)),  # Visa
    (51, 55, (16,)),  # Mastercard
    (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)),  # American Express
    (37, 37, (15,)),
    (3528, 3589, (16, 17, 18, 19)),  # JCB
    (300, 305, (14,)),  # Diners Club
    (36, 36, (14,)),
    (38, 39, (14,)),
    (6011, 6011, (16,)),  # Discover
    (644, 659, (16,)),
    (62, 62, (16, 17, 18, 19)),  # UnionPay
)


def is_card(digits: str) -> bool:
    """Whether the digits begin and are as long as a network's, and pass the check."""
    return is_issued(digits) and passes_luhn(digits)


def is_issued(digits: str) -> bool:
    return any(
        low <= int(digits[: len(str(low))]) <= high
        for low, high, lengths in CARD_RANGES
        if len(digits) in lengths
    )


def passes_luhn(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1): from the right every second digit counts double."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_my_number(digits: str) -> bool:
    """Whether 12 digits end in the check digit of a Japanese individual number.

    Ordinance No. 85 of the Ministry of Internal Affairs and Communications, 2014, article 5: the
    eleven digits before it, from the right, count 2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6 times.
    """
    if len(digits) != 12 or digits == digits[0] * 12:
        return False
    rest = sum(int(digits[10 - n]) * (n + 2 if n < 6 else n - 4) for n in range(11)) % 11
    return int(digits[11]) == (0 if rest <= 1 else 11 - rest)
