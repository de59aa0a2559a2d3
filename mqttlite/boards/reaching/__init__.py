"""A board at the other end of a cable or of a broker.

ports           which serial port it is at               troubles        what goes wrong, in words
chip            an ESP32 in download mode                copying         files, through MicroPython's prompt
improv_client   settings, through Improv                 first_message   that it has arrived, through the broker
"""
