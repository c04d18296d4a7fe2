"""BMCs over IPMI 2.0: RMCP+ sessions, chassis, sensors, event log, FRU and HPM.1."""
