"""The Redfish adapter: one node's BMC over redfish.aio."""
