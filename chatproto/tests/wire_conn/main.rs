//! What every connection is made of: the reader, the send queue, deadlines, the frame budget, and how it ends.

mod budget;
mod closing;
mod deadlines;
mod queue;
mod reader;
