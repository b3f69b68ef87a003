from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import InvalidInputError
from headwater.ingest.feistel import permute
from headwater.ingest.masks import kind_of, largest_of, looks_personal, parse_masks
from headwater.ingest.pseudonyms import (
    Key,
    iban_digits,
    luhn_digit,
    mask_card,
    mask_decimal,
    mask_email,
    mask_float,
    mask_iban,
    mask_integer,
    mask_name,
    mask_phone,
    mask_text,
    shift_days,
)

KEY, OTHER = Key(b"k" * 32), Key(b"l" * 32)
EMAIL = re.compile(r"[a-z]+\.[a-z2-7]{16}@example\.(com|net|org)")


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 26, 255, 256, 257, 1000, 4097])
def test_a_permutation_meets_every_number_once(limit: int) -> None:
    made = [permute(b"k" * 32, b"t", value, limit) for value in range(limit)]

    assert sorted(made) == list(range(limit))


def test_key_tweak_and_limit_each_give_another_permutation() -> None:
    values = range(1000)

    made = {
        tuple(permute(key, tweak, value, limit) for value in values)
        for key in (b"k" * 32, b"l" * 32)
        for tweak in (b"", b"t")
        for limit in (1000, 1001)
    }

    assert len(made) == 8


def test_neighbours_are_scattered_like_chance() -> None:
    limit = 10**9
    made = [permute(b"k" * 32, b"t", value, limit) for value in range(2000)]

    # Of 1,999 steps between neighbours about half go up: 5 standard deviations are 112.
    assert abs(sum(b > a for a, b in pairwise(made)) - 1000) < 112
    # And the mean is that of even chance: its standard error is limit / sqrt(12 * 2000) = 0.0065 of the limit.
    assert abs(sum(made) / len(made) / limit - 0.5) < 5 * 0.0065


@given(st.integers(0, 2**128), st.integers(1, 2**128))
@settings(max_examples=200, deadline=None)
def test_a_permutation_stays_below_its_limit(value: int, limit: int) -> None:
    assert 0 <= permute(b"k" * 16, b"", value % limit, limit) < limit


def test_a_short_key_is_refused_and_a_key_shows_nothing_of_itself() -> None:
    with pytest.raises(InvalidInputError, match="16 bytes"):
        Key(b"short")
    assert "kkkk" not in repr(KEY)
    assert KEY.fingerprint != OTHER.fingerprint


def test_text_keeps_its_form_and_stays_unique() -> None:
    given_texts = [f"CU-{number:04d}/x" for number in range(3000)]

    made = [mask_text(KEY, text) for text in given_texts]

    assert all(re.fullmatch(r"[A-Z]{2}-[0-9]{4}/[a-z]", text) for text in made)
    assert len(set(made)) == 3000
    assert made == [mask_text(KEY, text) for text in given_texts]
    assert made != [mask_text(OTHER, text) for text in given_texts]


def test_letters_beyond_a_to_z_do_not_stay_in_clear() -> None:
    for text in ("Zoë", "Łódź", "李小龙", "naïve 12", "🙂 ok"):
        assert re.fullmatch(r"x[a-z2-7]{16}", mask_text(KEY, text))


def test_addresses_and_names_are_valid_and_unique() -> None:
    mails = {mask_email(KEY, f"person{number}@corp.com") for number in range(2000)}
    names = {mask_name(KEY, f"Person {number}") for number in range(2000)}

    assert len(mails) == len(names) == 2000
    assert all(EMAIL.fullmatch(mail) for mail in mails)
    assert all(re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+-[A-Z][a-z]+", name) for name in names)


def test_check_digits_are_right() -> None:
    # Check digits worked out by the issuers' own published examples.
    assert luhn_digit("7992739871") == 3
    assert iban_digits("GB", "WEST12345698765432") == "82"
    assert iban_digits("DE", "370400440532013000") == "89"


def test_card_numbers_stay_valid_of_their_issuer_and_unique() -> None:
    given_numbers = [f"411111{number:09d}" for number in range(2000)]
    cards = [f"{body}{luhn_digit(body)}" for body in given_numbers]

    made = [mask_card(KEY, card) for card in cards]

    assert len(set(made)) == 2000
    assert all(card[:6] == "411111" and int(card[-1]) == luhn_digit(card[:-1]) and len(card) == 16 for card in made)
    assert mask_card(KEY, "4111 1111 1111 1111").count(" ") == 3


def test_account_numbers_stay_valid_of_their_country_and_length() -> None:
    for iban in ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NL91ABNA0417164300"):
        made = mask_iban(KEY, iban)
        plain = made.replace(" ", "")
        assert made != iban
        assert (plain[:2], len(made)) == (iban[:2], len(iban))
        assert plain[2:4] == iban_digits(plain[:2], plain[4:])


def test_phone_numbers_keep_country_code_length_and_spelling() -> None:
    made = mask_phone(KEY, "+49 170 123-4567")

    assert re.fullmatch(r"\+49 1[0-9]{2} [0-9]{3}-[0-9]{4}", made)
    assert mask_phone(KEY, "0170 1234567").startswith("0")


@given(st.integers(-(2**63) + 1, 2**63 - 1))
@settings(max_examples=300, deadline=None)
def test_numbers_keep_sign_and_number_of_digits(value: int) -> None:
    made = mask_integer(KEY, value, 2**63 - 1)

    assert len(str(made)) == len(str(value)) or (abs(value) < 10 and abs(made) < 10)
    assert abs(made) <= 2**63 - 1


def test_numbers_stay_unique_and_within_their_type() -> None:
    small = [mask_integer(KEY, value, 127) for value in range(128)]

    assert sorted(small) == list(range(128))
    assert len({mask_integer(KEY, value) for value in range(3000)}) == 3000


def test_a_key_has_one_pseudonym_in_columns_of_different_widths() -> None:
    for value in (7, 1_999_999_999, 2**31 - 1):
        made = {mask_integer(KEY, value, largest_of(kind)) for kind in ("INTEGER", "UINTEGER", "BIGINT", "HUGEINT")}
        assert len(made) == 1


def test_decimals_keep_their_places() -> None:
    assert re.fullmatch(r"-[1-9][0-9]\.[0-9]{2}", str(mask_decimal(KEY, Decimal("-12.50"))))
    assert re.fullmatch(r"[1-9][0-9]*\.[0-9]", repr(mask_float(KEY, 1234.5)))
    assert mask_float(KEY, float("inf")) == float("inf")


def test_dates_move_by_one_to_365_days_the_same_for_one_subject() -> None:
    shifts = {shift_days(KEY, f"subject {number}") for number in range(5000)}

    assert 0 not in shifts
    assert (min(shifts), max(shifts)) == (-365, 365)
    assert shift_days(KEY, "a") == shift_days(KEY, "a")


def test_kinds_follow_names_and_types() -> None:
    assert kind_of("Email", "", "VARCHAR") == "email"
    assert kind_of("customer_name", "", "VARCHAR") == "name"
    assert kind_of("first_name", "", "VARCHAR") == "given_name"
    assert kind_of("tel", "", "VARCHAR") == "phone"
    assert kind_of("ref", "", "VARCHAR") == "text"
    assert kind_of("id", "", "BIGINT") == "number"
    assert kind_of("born", "", "DATE") == "date"
    for column, asked, kind in (("id", "email", "BIGINT"), ("x", "colour", "VARCHAR"), ("tags", "", "VARCHAR[]")):
        with pytest.raises(InvalidInputError, match=f"'{column}'"):
            kind_of(column, asked, kind)


def test_masks_are_written_in_one_line() -> None:
    assert parse_masks(["email, born=date", "items.note=text"]) == {"email": "", "born": "date", "items.note": "text"}


@pytest.mark.parametrize(
    ("column", "values", "what"),
    [
        ("x", ["a@b.de", "c@d.org"], "mail addresses"),
        ("x", ["DE89370400440532013000"], "account numbers"),
        ("x", ["4111 1111 1111 1111"], "card numbers"),
        ("x", ["+49 170 1234567"], "phone numbers"),
        ("Last_Name", [], "names"),
        ("birthday", [], "dates of birth"),
        ("home_address", [], "personal data"),
        ("x", ["1234567890", "2025-01-01"], ""),
        ("amount", ["12.5"], ""),
    ],
)
def test_what_looks_personal(column: str, values: list[str], what: str) -> None:
    assert looks_personal(column, values) == what
