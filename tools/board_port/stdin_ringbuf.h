// What os.dupterm_notify reads goes there (extmod/modos.c).
#include "py/ringbuf.h"
extern ringbuf_t stdin_ringbuf;
