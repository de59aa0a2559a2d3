"""A message that ended without being confirmed, as a new one. Loaded by who wants it sent again. Both runtimes."""

from .codec import publish_head, topic_of
from .records import bare


def as_new(message: "tuple[bytes, bytes, bytes]", seq: int) -> "tuple[bytes, bytes, bytes]":
    """A message that was set aside or is in doubt, as one that is accepted as number `seq`.

    One that was set aside and carries a number that the client has counted gets a new one: a receiver takes numbers
    that are much older than others for handled. A number of the application's stays.
    """
    head, payload, key = message
    if head[0] & 6 == 6:  # it may have arrived: what it carries has to stay
        return bytes((head[0] & 0xFD,)) + head[1:], payload, key
    if len(bare(key)) == 1 and key[0] & 1:
        from .keys import PROPERTY, from_text, to_text, unwrap, wrap

        if key[0] & 2:
            from .properties import encode_user_properties, split, user_property, with_properties, without_user

            block, content = split(payload)
            found = from_text(user_property(block, PROPERTY) or b"")
            if found:
                renewed = encode_user_properties([(PROPERTY, to_text((found[0], found[1], seq)))])
                payload = with_properties(without_user(block, PROPERTY) + renewed, content)
        else:
            opened = unwrap(payload)
            if opened:
                (producer, epoch, _), content = opened
                payload = wrap((producer, epoch, seq), content)
        head = publish_head(head[0] & 7, topic_of(head), len(payload))
    return head, payload, key
