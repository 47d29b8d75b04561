"""Nextcloud's list of setup checks, in which other apps have a say since Nextcloud 35."""

from .client import NextcloudClient
from .errors import Missing

REGISTRATION = "/ocs/v1.php/apps/app_api/api/v1/setup_check"


async def offer_setup_checks(nextcloud: NextcloudClient) -> bool:
    """Have Nextcloud ask for `/setup_checks` from time to time; may be repeated. False where it has no such list yet.

    Raises `NextcloudError`s.
    """
    try:
        await nextcloud.call("POST", REGISTRATION)
    except Missing:
        return False
    return True
