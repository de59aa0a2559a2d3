"""Whom a board trusts that speaks TLS: the certificate in its settings, the broker's own or its CA's. Both runtimes."""

import sys
from binascii import a2b_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def trusted(ca: str) -> "Any":
    """What Client takes as `tls`, of the setting `ca`."""
    certificate = a2b_base64(ca)
    if sys.implementation.name == "micropython":
        return certificate
    import ssl as of_cpython

    ssl: "Any" = of_cpython
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the broker's own will do
    return context
