//! A request as it goes over a connection.

use crate::messages::RequestHeader;
use crate::wire::Splice;
use crate::{EncodeError, Message, Request, Writer};

/// Length, header and body of a request, in the header's version that belongs to the request's.
///
/// # Errors
/// If the request holds what `version` cannot say.
pub fn request_frame<'q, Q: Request<'q>>(
    request: &Q,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<Vec<u8>, EncodeError> {
    let (bytes, splices) = request_frame_in_parts(request, version, correlation_id, client_id)?;
    assert!(splices.is_empty(), "Invariant: a frame in one piece has all of its records");
    Ok(bytes)
}

/// The same for a request whose records may come from elsewhere: the bytes that were written, and where those records belong.
///
/// # Errors
/// If the request holds what `version` cannot say.
pub fn request_frame_in_parts<'q, Q: Request<'q>>(
    request: &Q,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<(Vec<u8>, Vec<Splice>), EncodeError> {
    let header = RequestHeader {
        request_api_key: Q::API_KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id: Some(client_id.to_owned()),
    };
    let mut writer = Writer::new();
    writer.i32(0);
    header.write(&mut writer, Q::API_KEY.request_header_version(version))?;
    request.write(&mut writer, version)?;
    let length = writer.position() - 4 + writer.spliced_length();
    writer.set_i32(0, i32::try_from(length).unwrap_or(i32::MAX));
    Ok(writer.into_parts())
}
