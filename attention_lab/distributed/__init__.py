"""Devices, and several processes that train as one."""
