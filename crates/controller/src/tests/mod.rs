//! Tests of requests, each on a controller that replays what it makes.
