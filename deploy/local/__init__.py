"""Everything on this machine: embedded servers, the services and a demo, with one command."""
