//! What every request shares: the services, and what the server knows of its own addresses.
