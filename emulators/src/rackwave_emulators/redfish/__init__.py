"""The Redfish face of a lab's machines: resources, sessions, updates, actions."""
