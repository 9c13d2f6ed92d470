"""Real parts for the tests: started and stopped by them, on free loopback ports, in temporary folders."""
