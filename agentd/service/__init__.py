"""agentd as a service of the machine: a systemd unit or a launchd agent, and the programs that manage it.

What the daemon itself tells its service manager is `daemon/notify.py`; nothing here runs inside the daemon.
"""
