"""Measurements, and long searches for what fails. Each is a command, `python -m benchmarks.NAME`, with --help, but for
what stands in parentheses, which they share.

speed, beside others    broker_cpu (broker_load)   broker_durable   broker_connections   broker_scale   rights
                        client_cpu (client_worker)   durability (durability_worker, durability_feeder, disk)   layers
                        startup   testing   scrape   page   ledger
serial lines            link_goodput   line_goodput   link_frames   bus   gateway_cost (gateway_boards)
                        gateway_writes
boards                  size   board_alloc   board_heap   board_program   board_tls   microbit
                        (others; board/: applications that are measured)
faults, in virtual time simulate   simulate_large   (exploring   fault_points)   cuts   site   update_worlds
faults, real processes  crash   killed   chaos/   bridge/   attack/

`python -m benchmarks` is the first look, one after the other (`make bench`); what they found stands in docs/figures.md
and docs/proof.md.
"""
