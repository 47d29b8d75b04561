"""Does the driver do the same as the reference driver?"""

import random
from collections.abc import Awaitable, Callable

from ...contract import AccessOp, Driver, NotFound, Rejected
from ..kit import Kit
from ..reference import ReferenceDriver
from .base import case, expect, name_of_error

RANDOM_STEPS = 150
READERS, PROVIDERS, ITEMS = ("ann", "ben joe", "çem", "dò", "e,f"), ("default", "mail"), range(5)


@case("congruence")
async def random_operations_agree_with_the_reference_driver(kit: Kit) -> None:
    """After random operations the same users find the same sources as with the reference driver.

    If this fails: the named step, or an earlier one whose effect only showed now, did something other than in the
    reference driver. Read the operation in `conformance/reference.py`; it is as short as the contract allows.
    """
    rng = random.Random(20)  # noqa: S311 - repeatable, not secret
    reference = Kit(ReferenceDriver(), kit.folder, kit.namespace)
    for step in range(RANDOM_STEPS):
        operation = _random_operation(kit, rng, step)
        mine, theirs = [
            await name_of_error(operation(driver), NotFound, Rejected) for driver in (kit.driver, reference.driver)
        ]
        expect(mine == theirs, f"step {step}: the driver raised {mine}, the reference {theirs}")
        if step % 10 == 0 or step == RANDOM_STEPS - 1:
            await _expect_congruence(kit, reference)


async def _expect_congruence(kit: Kit, reference: Kit) -> None:
    for user in READERS:
        await kit.expect(user, await reference.found(user))
    for provider in PROVIDERS:
        await kit.expect_count((await reference.driver.count()).get(kit.provider(provider), 0), provider)


def _random_operation(  # noqa: PLR0911 - one line per operation of the contract
    kit: Kit, rng: random.Random, step: int
) -> Callable[[Driver], Awaitable[object]]:
    provider, item = rng.choice(PROVIDERS), rng.choice(ITEMS)
    id_, users = kit.id(item, provider), kit.users(*rng.sample(READERS, rng.randint(1, 3)))
    provider_id, op = kit.provider(provider), rng.choice(list(AccessOp))
    text = rng.choice(["The whale sings.", f"The whale dives, step {step}."])
    readers, modified = rng.sample(READERS, rng.randint(1, 3)), rng.randint(1, 10)
    source = kit.source(item, users=readers, provider=provider, text=text, modified=modified)
    match rng.choices(range(8), weights=(40, 18, 10, 8, 6, 2, 3, 3))[0]:
        case 0:
            return lambda driver: driver.upsert(source)
        case 1:
            return lambda driver: driver.update_access(op, id_, users)
        case 2:
            return lambda driver: driver.set_access(id_, users)
        case 3:
            return lambda driver: driver.update_provider_access(op, provider_id, users)
        case 4:
            return lambda driver: driver.delete({id_})
        case 5:
            return lambda driver: driver.delete_provider(provider_id)
        case 6:
            return lambda driver: driver.set_access(id_, frozenset())
        case _:
            return lambda driver: driver.delete_user(min(users))
