//! One definition per configuration key, and the server.properties reader that stands on them.
