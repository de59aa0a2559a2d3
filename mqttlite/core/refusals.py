"""What CONNACK's return codes mean (3.2.2.3), and what to do about them. Both runtimes."""

_REFUSALS = (
    "",
    "the broker does not speak MQTT 3.1.1",
    "the broker does not accept this client identifier; choose another",
    "the broker is not available now; try again later",
    "bad user name or password",
    "not authorised; check the password, and the rights of this user and client identifier",
)


def words(code: int) -> str:
    """Words for a return code other than 0."""
    return _REFUSALS[code] if code < len(_REFUSALS) else "reserved return code " + str(code)
