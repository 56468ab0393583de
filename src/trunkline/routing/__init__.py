"""Which offers to try, in which order, and why: `plan(...) -> Plan`. Pure; the measured figures come from `health`."""
