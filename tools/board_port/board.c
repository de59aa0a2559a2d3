// MicroPython's Unix port with the console of a board: what ports/esp32 does with its UART, on standard input and output.
//
//     micropython -X heapsize=110k -c "import board; board.run()"        (in the board's folder, on a pseudo-terminal)
//
// As on a board: boot.py and main.py, then the prompt, friendly or raw (shared/runtime/pyexec.c); Ctrl-D starts it all
// again; what arrives is received beside the program, at the pace of 115,200 baud, into 260 bytes, and what finds them
// full is lost; the interrupt character is taken out there, whatever the program does; sys.stdin and sys.stdout are
// those of boards (shared/runtime/sys_stdio_mphal.c: a read waits for all that it asked for); os.dupterm doubles the
// output. BOARD_USB=1 in the environment: as native USB (shared/tinyusb/mp_usbd_cdc.c), where a host that does not read
// holds a write up, for half a second, and then loses it; without it, a write takes as long as the line takes.
//
// machine.reset() is there, too. Both kinds of reset replace the process by a new one: same heap size, same folder.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "py/compile.h"
#include "py/mphal.h"
#include "py/mpthread.h"
#include "py/objstr.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "extmod/misc.h"
#include "shared/readline/readline.h"

#define RAW "BOARD_RAW_REPL" // in the environment: the reset came from the raw prompt
#define USB_TIMEOUT_MS (500)
#define UART_TIMEOUT_MS (5000) // then nobody carries away what stands in the pseudo-terminal
#define AT_ONCE (64) // bytes taken from the line, and
#define AT_ONCE_NS (64 * 10 * 1000000000LL / 115200) // how long they take on it

static byte stdin_bytes[260];
ringbuf_t stdin_ringbuf = {stdin_bytes, sizeof(stdin_bytes), 0, 0};
int mp_interrupt_char = -1;

static pthread_mutex_t stdin_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t main_thread;
static bool is_usb;

static int take(void) {
    pthread_mutex_lock(&stdin_lock);
    int c = ringbuf_get(&stdin_ringbuf);
    pthread_mutex_unlock(&stdin_lock);
    return c;
}

// --- the line to the host

static void ignore(int signal_number) {
    (void)signal_number; // it ends a sleep, nothing else
}

// The interrupt handler of the UART.
static void *receive(void *unused) {
    for (;;) {
        byte buf[AT_ONCE];
        ssize_t got = read(STDIN_FILENO, buf, sizeof(buf));
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd wait = {STDIN_FILENO, POLLIN, 0};
            poll(&wait, 1, 1000);
            continue;
        }
        if (got < 0 && errno == EIO) {
            _exit(0); // the pseudo-terminal is gone, and whoever has made this board with it
        }
        if (got <= 0) {
            // Nobody has the other end of the pseudo-terminal open: a cable without a host.
            struct timespec pause = {0, 20000000};
            nanosleep(&pause, NULL);
            continue;
        }
        for (ssize_t i = 0; i < got;) {
            if (buf[i] == mp_interrupt_char) {
                mp_sched_keyboard_interrupt();
                pthread_kill(main_thread, SIGUSR1);
                i++;
                continue;
            }
            pthread_mutex_lock(&stdin_lock);
            int full = ringbuf_put(&stdin_ringbuf, buf[i]);
            pthread_mutex_unlock(&stdin_lock);
            if (full && is_usb) { // the host has to wait
                struct timespec pause = {0, 1000000};
                nanosleep(&pause, NULL);
                continue;
            }
            i++;
        }
        struct timespec pause = {0, got * AT_ONCE_NS / AT_ONCE};
        nanosleep(&pause, NULL);
    }
    return unused;
}

static bool writable(int timeout_ms) {
    struct pollfd wait = {STDOUT_FILENO, POLLOUT, 0};
    return poll(&wait, 1, timeout_ms) > 0 && (wait.revents & POLLOUT);
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ret = mp_os_dupterm_poll(flags);
    pthread_mutex_lock(&stdin_lock);
    if ((flags & MP_STREAM_POLL_RD) && ringbuf_peek(&stdin_ringbuf) != -1) {
        ret |= MP_STREAM_POLL_RD;
    }
    pthread_mutex_unlock(&stdin_lock);
    if ((flags & MP_STREAM_POLL_WR) && (!is_usb || writable(0))) {
        ret |= MP_STREAM_POLL_WR;
    }
    return ret;
}

void __wrap_mp_hal_set_interrupt_char(char c) {
    mp_interrupt_char = c == (char)-1 ? -1 : (byte)c;
}

int __wrap_mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int c = take();
        if (c != -1) {
            return c;
        }
        mp_handle_pending(true);
        usleep(500);
    }
}

mp_uint_t __wrap_mp_hal_stdout_tx_strn(const char *str, size_t len) {
    size_t done = 0;
    while (done < len) {
        ssize_t wrote = write(STDOUT_FILENO, str + done, len - done);
        if (wrote > 0) {
            done += wrote;
        } else if (wrote < 0 && errno == EINTR) {
            continue;
        } else if (!writable(is_usb ? USB_TIMEOUT_MS : UART_TIMEOUT_MS)) {
            break;
        }
    }
    int dupterm_res = mp_os_dupterm_tx_strn(str, len);
    if (dupterm_res >= 0) {
        done = MIN((size_t)dupterm_res, done);
    }
    return is_usb ? done : len;
}

void __wrap_mp_hal_stdout_tx_strn_cooked(const char *str, size_t len) {
    size_t begin = 0;
    for (size_t i = 0; i < len; i++) {
        if (str[i] == '\n') {
            __wrap_mp_hal_stdout_tx_strn(str + begin, i - begin);
            __wrap_mp_hal_stdout_tx_strn("\r\n", 2);
            begin = i + 1;
        }
    }
    __wrap_mp_hal_stdout_tx_strn(str + begin, len - begin);
}

void __wrap_mp_hal_stdout_tx_str(const char *str) {
    __wrap_mp_hal_stdout_tx_strn(str, strlen(str));
}

#define mp_sys_stdin_obj __wrap_mp_sys_stdin_obj
#define mp_sys_stdout_obj __wrap_mp_sys_stdout_obj
#define mp_sys_stderr_obj __wrap_mp_sys_stderr_obj
#include "shared/runtime/sys_stdio_mphal.c"

// --- starts and prompts

#include "shared/runtime/pyexec.c"

NORETURN void board_again(const char *raw);
void board_again(const char *raw) {
    static char line[65536];
    char *argv[64];
    int argc = 0;
    int file = open("/proc/self/cmdline", O_RDONLY);
    ssize_t size = file < 0 ? 0 : read(file, line, sizeof(line) - 1);
    for (char *at = line; at < line + size && argc < 63; at += strlen(at) + 1) {
        argv[argc++] = at;
    }
    argv[argc] = NULL;
    close(file);
    setenv(RAW, raw, 1);
    execv("/proc/self/exe", argv);
    abort();
}

static mp_obj_t board_run(void) {
    mp_interrupt_char = -1; // the Unix port has set it for the command line
    is_usb = getenv("BOARD_USB") != NULL;
    const char *raw = getenv(RAW);
    pyexec_mode_kind = raw && *raw ? PYEXEC_MODE_RAW_REPL : PYEXEC_MODE_FRIENDLY_REPL;
    struct termios settings;
    if (tcgetattr(STDIN_FILENO, &settings) == 0) {
        cfmakeraw(&settings);
        tcsetattr(STDIN_FILENO, TCSANOW, &settings);
    }
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGUSR1, &action, NULL);
    main_thread = pthread_self();
    pthread_t thread;
    pthread_create(&thread, NULL, receive, NULL);
    readline_init0();
    int ret = pyexec_file_if_exists("boot.py");
    if (!(ret & PYEXEC_FORCED_EXIT) && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL && ret != 0) {
        ret = pyexec_file_if_exists("main.py");
    }
    while (!(ret & PYEXEC_FORCED_EXIT)) {
        ret = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
    __wrap_mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
    board_again(pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? "1" : "");
}
static MP_DEFINE_CONST_FUN_OBJ_0(board_run_obj, board_run);

static const mp_rom_map_elem_t board_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_board)},
    {MP_ROM_QSTR(MP_QSTR_run), MP_ROM_PTR(&board_run_obj)},
};
static MP_DEFINE_CONST_DICT(board_globals, board_globals_table);

const mp_obj_module_t board_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&board_globals,
};
MP_REGISTER_MODULE(MP_QSTR_board, board_module);
