# Everything about standard input and output, and Ctrl-C, is board.c's.
LDFLAGS_EXTRA += $(foreach name, \
	mp_hal_stdin_rx_chr mp_hal_stdout_tx_strn mp_hal_stdout_tx_strn_cooked mp_hal_stdout_tx_str \
	mp_hal_set_interrupt_char mp_sys_stdin_obj mp_sys_stdout_obj mp_sys_stderr_obj, -Wl,--wrap=$(name))

$(BUILD)/extmod/modos.o: CFLAGS += -include $(VARIANT_DIR)/stdin_ringbuf.h
$(BUILD)/extmod/modmachine.o: CFLAGS += -include $(VARIANT_DIR)/machine_reset.h
