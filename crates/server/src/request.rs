//! A request's head, and how its answer is framed.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use common::Uuid;
use network::{ConnectionInfo, Handled, Later, Outbox};
use protocol::messages::RequestHeader;
use protocol::wire::Splice;
use protocol::{ApiKey, EncodeError, Message, Reader, Writer};
use storage::LogSlice;

/// What the answer needs to know of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

/// Who asks.
pub(crate) struct Client<'a> {
    pub(crate) connection: &'a Arc<ConnectionInfo>,
    /// The id that the client gives itself; empty where it gives none.
    pub(crate) id: &'a str,
    pub(crate) session: &'a Session,
}

/// What a client has said of itself on its connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Name and version of its software, once it has asked `ApiVersions` (KIP-511).
    pub(crate) software: OnceLock<(Box<str>, Box<str>)>,
    /// Under which id it pushes its metrics.
    pub(crate) client_instance_id: OnceLock<Uuid>,
}

/// A request as a handler sees it.
pub(crate) struct Request<'a> {
    pub(crate) head: Head,
    pub(crate) client: Client<'a>,
    pub(crate) body: Reader<'a>,
}

/// Why a request gets no answer but the end of its connection, as in Kafka.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("a request without a whole header: {0}")]
    Header(protocol::DecodeError),
    #[error("there is no API with the key {0}")]
    UnknownApi(i16),
    #[error("{0} is not served on this listener")]
    NotServed(ApiKey),
    #[error("{0} version {1} is not supported")]
    UnsupportedVersion(ApiKey, i16),
    #[error("{0} version {1} cannot be read: {2}")]
    Body(ApiKey, i16, protocol::DecodeError),
    #[error("the answer to {0} version {1} cannot be written: {2}")]
    Answer(ApiKey, i16, protocol::EncodeError),
    #[error("a produce request with acks=0 failed ({0}): the end of the connection tells its producer")]
    ProduceWithoutAcks(common::ErrorCode),
}

impl<'a> Request<'a> {
    /// The body as the message of this API.
    pub(crate) fn read<M: Message<'a>>(&mut self) -> Result<M, BadRequest> {
        M::read(&mut self.body, self.head.version)
            .map_err(|error| BadRequest::Body(self.head.api, self.head.version, error))
    }

    /// A copy of the request, before its body is read.
    pub(crate) fn to_raw(&self) -> RawRequest {
        RawRequest {
            head: self.head,
            client_id: self.client.id.to_owned(),
            client_address: self.client.connection.peer.ip(),
            body: self.body.remaining().to_vec(),
        }
    }
}

/// A request as it is passed on to the controller.
pub(crate) struct RawRequest {
    pub(crate) head: Head,
    pub(crate) client_id: String,
    pub(crate) client_address: IpAddr,
    /// What stood behind the header.
    pub(crate) body: Vec<u8>,
}

impl RawRequest {
    /// Header and body, as a client sends them behind their length.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let header = RequestHeader {
            request_api_key: self.head.api.code(),
            request_api_version: self.head.version,
            correlation_id: self.head.correlation_id,
            client_id: Some(self.client_id.clone()),
        };
        let mut writer = Writer::new();
        // A name that came in a header fits into one.
        drop(header.write(&mut writer, self.head.api.request_header_version(self.head.version)));
        writer.raw(&self.body);
        writer.into_bytes()
    }
}

impl Head {
    /// Whether these bytes, an answer without its length, belong to this request.
    pub(crate) fn is_answered_by(self, answer: &[u8]) -> bool {
        answer.first_chunk() == Some(&self.correlation_id.to_be_bytes())
    }

    /// Puts the answer behind what is in the outbox.
    pub(crate) fn answer<'m, M: Message<'m>>(
        self,
        message: &M,
        out: &mut Outbox,
    ) -> Result<Handled, BadRequest> {
        let splices = self.write(message, out)?;
        assert!(splices.is_empty(), "Invariant: only fetched records come from elsewhere");
        Ok(Handled::Done)
    }

    /// The same for a message whose records lie in `slices`, in the order in which they were written.
    pub(crate) fn answer_with_records<'m, M: Message<'m>>(
        self,
        message: &M,
        slices: &[LogSlice],
        out: &mut Outbox,
    ) -> Result<Handled, BadRequest> {
        let splices = self.write(message, out)?;
        assert_eq!(splices.len(), slices.len(), "Invariant: each slice has its place in the answer");
        for (splice, slice) in splices.iter().zip(slices) {
            if let Some(file) = slice.file() {
                out.splice(splice.position, Arc::clone(file), slice.position(), slice.len());
            }
        }
        Ok(Handled::Done)
    }

    /// Puts the answer that `write` writes behind what is in the outbox.
    pub(crate) fn answer_by(
        self,
        out: &mut Outbox,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<Handled, BadRequest> {
        let splices = self.write_by(out, write)?;
        assert!(splices.is_empty(), "Invariant: only fetched records come from elsewhere");
        Ok(Handled::Done)
    }

    fn write<'m, M: Message<'m>>(self, message: &M, out: &mut Outbox) -> Result<Vec<Splice>, BadRequest> {
        self.write_by(out, |writer| message.write(writer, self.version))
    }

    fn write_by(
        self,
        out: &mut Outbox,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<Vec<Splice>, BadRequest> {
        let mut writer = Writer::with_buffer(out.take());
        let start = writer.position();
        writer.i32(0);
        writer.i32(self.correlation_id);
        if self.api.response_header_version(self.version) > 0 {
            writer.uvarint(0);
        }
        let result = write(&mut writer);
        let length = writer.since(start).len() - 4 + writer.spliced_length();
        writer.set_i32(start, i32::try_from(length).unwrap_or(i32::MAX));
        let (mut bytes, splices) = writer.into_parts();
        if result.is_err() {
            bytes.truncate(start);
        }
        out.restore(bytes);
        result.map_err(|error| BadRequest::Answer(self.api, self.version, error))?;
        Ok(splices)
    }

    /// An answer that comes when `future` does.
    pub(crate) fn later<'m, M, F>(self, future: F) -> Result<Handled, BadRequest>
    where
        M: Message<'m> + Send + 'static,
        F: Future<Output = M> + Send + 'static,
    {
        let later: Later = Box::pin(async move {
            let message = future.await;
            let mut out = Outbox::new();
            if let Err(error) = self.answer(&message, &mut out) {
                // Nothing can be said in this version; the client's own timeout has to.
                tracing::error!("{error}");
            }
            out
        });
        Ok(Handled::Later(later))
    }
}
