// machine.reset() and reset_cause() (extmod/modmachine.c).
#include "py/runtime.h"

NORETURN void board_again(const char *raw);

NORETURN static void mp_machine_reset(void) {
    board_again("");
}

static mp_int_t mp_machine_reset_cause(void) {
    return 1; // PWRON_RESET
}
