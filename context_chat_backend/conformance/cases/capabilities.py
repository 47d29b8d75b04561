"""What a driver declares, and whether it is so."""

import re

from ...contract import Level, Query, Unsupported
from ..kit import CaseSkipped, Kit
from .base import case, expect, expect_error

LONGEST_SETTLE = 600.0
MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
"""https://www.rfc-editor.org/rfc/rfc6838#section-4.2, in lower case and without parameters"""


@case("capabilities")
async def declarations_make_sense(kit: Kit) -> None:
    """`max_source_bytes` is positive, `settle_seconds` at most 600, and MIME types are bare and in lower case.

    If this fails: the gateway compares sizes and types with these values as they stand, and waits as long as they
    say. None means any size or any type.
    """
    declared = kit.driver.capabilities
    limit, settles = declared.max_source_bytes, declared.settle_seconds
    expect(limit is None or limit > 0, f"max_source_bytes is {limit}: no source could be indexed")
    expect(
        0 <= settles <= LONGEST_SETTLE, f"settle_seconds is {settles}: it has to be between 0 and {LONGEST_SETTLE:g}"
    )
    wrong = sorted(type_ for type_ in declared.mime_types or () if not MIME_TYPE.fullmatch(type_))
    expect(not wrong, f"these are not types in the form that the gateway compares: {wrong}")
    expect(kit.driver.capabilities == declared, "capabilities change while the driver is open")


@case("capabilities")
async def answers_work_exactly_if_declared(kit: Kit) -> None:
    """`answer` cites only what the user may read; where it is not declared, it raises `Unsupported`.

    If this fails: build an answer only on hits of `search`, and name each of their sources once; without hits it has no
    sources. A driver that writes no answers leaves `capabilities.answers` and `BaseDriver.answer` alone.
    """
    await kit.driver.upsert(kit.source(1))
    await kit.expect("alice", {kit.id(1)})
    query = Query(user_id=kit.user("alice"), text="Where does the whale swim?", limit=5)
    if not kit.driver.capabilities.answers:
        advice = "capabilities.answers is False, so answer must raise Unsupported"
        await expect_error(Unsupported, kit.driver.answer(query), advice)
        return
    answer = await kit.driver.answer(query)
    expect(set(answer.source_ids) == {kit.id(1)}, f"the answer cites {answer.source_ids}")
    stranger = await kit.driver.answer(Query(user_id=kit.user("bob"), text="whale", limit=5))
    expect(not stranger.source_ids, f"a user without documents got an answer from {stranger.source_ids}")


@case("capabilities")
async def unsupported_types_are_not_indexed(kit: Kit) -> None:
    """Declared MIME types include plain text and Markdown, and nothing that the driver cannot read.

    If this fails: list the types whose text your driver can extract, see `capabilities.mime_types`.
    """
    types = kit.driver.capabilities.mime_types
    if types is None:
        raise CaseSkipped("the driver takes every type")
    expect("text/plain" in types and "text/markdown" in types, "plain text and Markdown must be supported")
    expect("application/zip" not in types, "an archive is not a document")


@case("capabilities")
async def check_answers_with_findings(kit: Kit) -> None:
    """`check` raises nothing while the backend works, and every warning or error says what to do.

    If this fails: give each `Finding` a subject and a text, and each warning or error a `remedy`.
    """
    for finding in await kit.driver.check():
        expect(bool(finding.subject and finding.text), f"{finding} needs a subject and a text")
        has_remedy = bool(finding.remedy) or finding.level is Level.OK
        expect(has_remedy, f"the finding {finding.subject!r} is a {finding.level} and needs a remedy")


@case("capabilities")
async def the_identity_is_stable(kit: Kit) -> None:
    """`identity` is not empty and does not change while the driver is open.

    If this fails: derive it once, when the driver is opened, from something that is kept in the store itself.
    """
    before = kit.driver.identity
    await kit.driver.upsert(kit.source(1))
    expect(bool(before) and kit.driver.identity == before, "identity must be a fixed, non-empty text")
    await kit.driver.ping()
