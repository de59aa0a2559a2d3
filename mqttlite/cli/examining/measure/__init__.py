"""What `mqttlite bench URL` does: it puts load on a broker, or on a serial line, and measures what comes back.

figures    numbers of one run, from the times of its messages
load       one run: publishers and subscribers of one program
measuring  one run after the other, until the end or Ctrl-C
report     a table and JSON      plot   percentiles as SVG

Everything that is said is about what this program saw: times from the call of `publish` to the message in the hands of
the subscriber, both on one clock, and the processor time that this program took for it.
"""
