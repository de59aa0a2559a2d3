// The Unix port with a board's console: see board.c.

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#define MICROPY_PY_OS_DUPTERM (1)
#define MICROPY_PY_OS_DUPTERM_NOTIFY (1)
#define MICROPY_PY_MACHINE_RESET (1)
#define MICROPY_PY_SYS_STDIO_BUFFER (1)

#define MICROPY_HW_BOARD_NAME "Unix port with a board's console"
#define MICROPY_HW_MCU_NAME "no chip"

#include "../../ports/unix/variants/mpconfigvariant_common.h"
