"""The writer of config files: data, schedule, runtime and distiller."""
