"""The pure core: values in, values out. No socket, file, clock, random or log line in here."""
