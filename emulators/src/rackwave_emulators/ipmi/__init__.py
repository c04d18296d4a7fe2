"""The IPMI 2.0 face of an emulated BMC: RMCP+ over UDP, on the same machine as its Redfish face."""
