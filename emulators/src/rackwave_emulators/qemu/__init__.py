"""A real machine in the loop: hosts that are qemu guests and boot what their BMC was given to flash."""
