"""What a board is like: `mqttlite doctor` and `mqttlite bench`.

doctor   step by step, from its port to a message that survives a power cut: doctor_prompt, doctor_service;
         what a step is told, and how it says what is wrong: doctor_case
bench    how quick it is; what runs on it meanwhile: bench_program
"""
