"""Runs first after each reset: count the boot. The serial link mixes the count into its epoch, so that frames from before
the reset are never taken for new ones, even where a board without Wi-Fi has poor random numbers."""

BOOTS = "boots.txt"


def count_boot() -> int:
    """Add one to the stored counter; its new value. A board whose flash is full or read-only counts from 0."""
    try:
        with open(BOOTS) as file:
            boots = int(file.read())
    except (OSError, ValueError):  # first boot, or power was lost while it was being written
        boots = 0
    try:
        with open(BOOTS, "w") as file:
            file.write(str(boots + 1))
    except OSError as error:
        print("boot counter not stored:", error)
    return boots + 1


boot_count = count_boot()
