//! chatclient.
