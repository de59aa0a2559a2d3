"""Planning: what a fleet of devices will need, from a model of the way device → line → gateway → broker → consumer.

Not the simulated world of mqttlite/sim, which runs the real programs and is too slow for a day of a fleet: queues and
servers only, with the sizes of real packets and frames and the costs that our benchmarks have measured.

fleet       the user's plan, from TOML          costs       what was measured, and where
sizes       bytes, by the real encoders         links       serial lines and Wi-Fi
parts       devices, groups, kinds of messages  flow        the pipeline, as events
model       a run of it, and what it measured
saturation  the rate at which it fails          report      the answer, for people and for programs
"""
