"""What a board gets later, over MQTT.

manifest   an update as data                             release            as files, signed by its maker
rollout    to one device or many                         rollout_report     what it says meanwhile
rotating   new credentials                               broker_passwords   where a broker keeps them
devices    the devices that this computer knows, and their keys
"""
