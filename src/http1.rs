//! HTTP/1.1 as bytes (RFC 9112): heads, and bodies by their framing. Bytes in, values out; whose bytes they are and what may be in
//! them is for others to say.

mod answer;
mod body;
mod head;
mod outgoing;
mod request;
mod room;

pub use answer::{Afterwards, Framing, add_field, write_answer};
pub use body::{BodyDecoder, BodyFault, Piece};
pub use head::{AnswerHead, HeadFault, RequestHead, answer_head};
pub use outgoing::Outgoing;
pub use request::{FramingFault, request_body, request_head};
pub use room::ReadRoom;
