"""Steps from one schema to the next; run by `refmill.clients.database.migrate`."""
