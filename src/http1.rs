//! HTTP/1.1 as bytes (RFC 9112): heads, and bodies by their framing. Bytes in, values out; whose bytes they are and what may be in
//! them is for others to say.

mod body;
mod head;

pub use body::{
    BodyDecoder, BodyFault, CHUNK_END, CHUNK_END_AND_LAST, LAST_CHUNK, Piece, chunk_head,
};
pub use head::{AnswerHead, HeadFault, RequestHead, answer_head};
